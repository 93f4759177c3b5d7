//! The one place that decides who may do what.
//!
//! | permission | platform | workspace | anybody who is signed in |
//! | --- | --- | --- | --- |
//! | `fleet.read` | operator, support | owner, admin, member, billing | yes |
//! | `fleet.change` | operator | | |
//! | `workspace.read` | operator, support | owner, admin, member, billing | |
//! | `workspace.create` | operator | | yes |
//! | `workspace.change` | operator | owner, admin | |
//! | `workspace.delete` | operator | owner | |
//! | `workspace.suspend` | operator | owner, admin | |
//! | `workspace.transfer` | operator | owner | |
//! | `member.read` | operator, support | owner, admin, member | |
//! | `member.manage` | operator | owner, admin | |
//! | `secret.read` | operator | owner, admin, member | |
//! | `secret.manage` | operator | owner, admin | |
//! | `agent.read` | operator, support | owner, admin, member | |
//! | `agent.manage` | operator | owner, admin | |
//! | `agent.report` | operator | owner, admin | |
//! | `node.read` | operator, support | | |
//! | `node.sweep` | operator | | |
//! | `node.rotate` | operator | owner, admin | |
//! | `node.rebuild` | operator | owner | |
//! | `workflow.read` | operator, support | owner, admin, member | |
//! | `workflow.operate` | operator | | |
//! | `revision.read` | operator, support | | |
//! | `token.read` | operator | owner | |
//! | `token.manage` | operator | owner | |
//! | `person.read` | operator, support | | |
//! | `person.manage` | operator | | |
//! | `audit.read` | operator, support | | |
//! | `metrics.read` | operator, support | | |
//! | `account.self` | | | yes |

use super::Principal;
use crate::id::WorkspaceId;
use crate::store::Role;

/// Something that may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// See which fleet this is, and its tiers.
    FleetRead,
    /// Publish the fleet's files, and bring its workspaces up, down, and to what the files declare.
    FleetChange,
    /// See a workspace.
    WorkspaceRead,
    /// Make a workspace.
    WorkspaceCreate,
    /// Change a workspace's tier or name.
    WorkspaceChange,
    /// End a workspace.
    WorkspaceDelete,
    /// Suspend a workspace, and resume it. What operators suspended, operators alone resume.
    WorkspaceSuspend,
    /// Offer a workspace to another owner.
    WorkspaceTransfer,
    /// See a workspace's members and invitations.
    MemberRead,
    /// Invite and remove members, and change what they are.
    MemberManage,
    /// See what is known of secrets; never a value.
    SecretRead,
    /// Give secrets values, and remove them.
    SecretManage,
    /// See what is known of agents and their channels.
    AgentRead,
    /// Make, change and delete agents and their channels.
    AgentManage,
    /// Report what was seen of agents and their channels. It cannot be taken back, so not every member may; machines have a token
    /// that is held to this.
    AgentReport,
    /// See nodes.
    NodeRead,
    /// Have hosts' machines compared with the record, and what has parted put right.
    NodeSweep,
    /// Give a node another identity.
    NodeRotate,
    /// Replace a node by another one.
    NodeRebuild,
    /// See workflows.
    WorkflowRead,
    /// Retry and abandon workflows.
    WorkflowOperate,
    /// See revisions.
    RevisionRead,
    /// See tokens.
    TokenRead,
    /// Make and revoke tokens.
    TokenManage,
    /// See people.
    PersonRead,
    /// Disable people, and say what they are to the platform.
    PersonManage,
    /// See the audit log.
    AuditRead,
    /// See the program's figures.
    MetricsRead,
    /// See and change one's own account.
    AccountSelf,
}

use Role::{Admin, Billing, Member, Operator, Owner, Support};

impl Permission {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::FleetRead,
        Self::FleetChange,
        Self::WorkspaceRead,
        Self::WorkspaceCreate,
        Self::WorkspaceChange,
        Self::WorkspaceDelete,
        Self::WorkspaceSuspend,
        Self::WorkspaceTransfer,
        Self::MemberRead,
        Self::MemberManage,
        Self::SecretRead,
        Self::SecretManage,
        Self::AgentRead,
        Self::AgentManage,
        Self::AgentReport,
        Self::NodeRead,
        Self::NodeSweep,
        Self::NodeRotate,
        Self::NodeRebuild,
        Self::WorkflowRead,
        Self::WorkflowOperate,
        Self::RevisionRead,
        Self::TokenRead,
        Self::TokenManage,
        Self::PersonRead,
        Self::PersonManage,
        Self::AuditRead,
        Self::MetricsRead,
        Self::AccountSelf,
    ];

    /// Its name, in scopes and in the API's document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FleetRead => "fleet.read",
            Self::FleetChange => "fleet.change",
            Self::WorkspaceRead => "workspace.read",
            Self::WorkspaceCreate => "workspace.create",
            Self::WorkspaceChange => "workspace.change",
            Self::WorkspaceDelete => "workspace.delete",
            Self::WorkspaceSuspend => "workspace.suspend",
            Self::WorkspaceTransfer => "workspace.transfer",
            Self::MemberRead => "member.read",
            Self::MemberManage => "member.manage",
            Self::SecretRead => "secret.read",
            Self::SecretManage => "secret.manage",
            Self::AgentRead => "agent.read",
            Self::AgentManage => "agent.manage",
            Self::AgentReport => "agent.report",
            Self::NodeRead => "node.read",
            Self::NodeSweep => "node.sweep",
            Self::NodeRotate => "node.rotate",
            Self::NodeRebuild => "node.rebuild",
            Self::WorkflowRead => "workflow.read",
            Self::WorkflowOperate => "workflow.operate",
            Self::RevisionRead => "revision.read",
            Self::TokenRead => "token.read",
            Self::TokenManage => "token.manage",
            Self::PersonRead => "person.read",
            Self::PersonManage => "person.manage",
            Self::AuditRead => "audit.read",
            Self::MetricsRead => "metrics.read",
            Self::AccountSelf => "account.self",
        }
    }

    /// The roles in the platform, and those in the workspace concerned, that have it.
    pub const fn roles(self) -> (&'static [Role], &'static [Role]) {
        match self {
            Self::FleetRead => (&[Operator, Support], &[Owner, Admin, Member, Billing]),
            Self::FleetChange => (&[Operator], &[]),
            Self::WorkspaceRead => (&[Operator, Support], &[Owner, Admin, Member, Billing]),
            Self::WorkspaceCreate => (&[Operator], &[]),
            Self::WorkspaceChange => (&[Operator], &[Owner, Admin]),
            Self::WorkspaceDelete => (&[Operator], &[Owner]),
            Self::WorkspaceSuspend => (&[Operator], &[Owner, Admin]),
            Self::WorkspaceTransfer => (&[Operator], &[Owner]),
            Self::MemberRead => (&[Operator, Support], &[Owner, Admin, Member]),
            Self::MemberManage => (&[Operator], &[Owner, Admin]),
            Self::SecretRead => (&[Operator], &[Owner, Admin, Member]),
            Self::SecretManage => (&[Operator], &[Owner, Admin]),
            Self::AgentRead => (&[Operator, Support], &[Owner, Admin, Member]),
            Self::AgentManage | Self::AgentReport => (&[Operator], &[Owner, Admin]),
            Self::NodeRead => (&[Operator, Support], &[]),
            Self::NodeSweep => (&[Operator], &[]),
            Self::NodeRotate => (&[Operator], &[Owner, Admin]),
            Self::NodeRebuild => (&[Operator], &[Owner]),
            Self::WorkflowRead => (&[Operator, Support], &[Owner, Admin, Member]),
            Self::WorkflowOperate => (&[Operator], &[]),
            Self::RevisionRead => (&[Operator, Support], &[]),
            Self::TokenRead => (&[Operator], &[Owner]),
            Self::TokenManage => (&[Operator], &[Owner]),
            Self::PersonRead => (&[Operator, Support], &[]),
            Self::PersonManage => (&[Operator], &[]),
            Self::AuditRead => (&[Operator, Support], &[]),
            Self::MetricsRead => (&[Operator, Support], &[]),
            Self::AccountSelf => (&[], &[]),
        }
    }

    /// Whether everybody who is signed in has it, whatever they are.
    pub const fn is_everybodys(self) -> bool {
        matches!(self, Self::FleetRead | Self::WorkspaceCreate | Self::AccountSelf)
    }
}

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// They may.
    Allowed,
    /// They may not.
    Forbidden,
    /// They may not even know whether it is there.
    Hidden,
}

/// Whether `principal` may do this; `workspace` is the one that it concerns, if it concerns one.
pub fn decide(principal: &Principal, permission: Permission, workspace: Option<WorkspaceId>) -> Decision {
    let (platform, within) = permission.roles();
    let has = |roles: &[Role], of: Option<WorkspaceId>| {
        principal.grants.iter().any(|grant| grant.workspace == of && roles.contains(&grant.role))
    };
    let of_people = principal.signed_in.is_some() && permission.is_everybodys();
    let granted = has(platform, None) || (workspace.is_some() && has(within, workspace)) || of_people;
    let in_scope = principal.scopes.is_empty() || principal.scopes.iter().any(|scope| covers(scope, permission.name()));
    if granted && in_scope {
        return Decision::Allowed;
    }
    let concerned = principal.grants.iter().any(|grant| grant.workspace.is_none() || grant.workspace == workspace);
    if workspace.is_some() && !concerned { Decision::Hidden } else { Decision::Forbidden }
}

/// Which workspaces `principal` may do this to: all, or only those. None at all where the list is empty.
pub fn within(principal: &Principal, permission: Permission) -> Option<Vec<WorkspaceId>> {
    if decide(principal, permission, None) == Decision::Allowed {
        return None;
    }
    let workspaces = principal.grants.iter().filter_map(|grant| grant.workspace);
    Some(workspaces.filter(|id| decide(principal, permission, Some(*id)) == Decision::Allowed).collect())
}

/// Whether a scope, `workspace.read` or `workspace.*`, covers a permission.
pub fn covers(scope: &str, permission: &str) -> bool {
    scope == permission
        || scope.strip_suffix('*').is_some_and(|prefix| prefix.ends_with('.') && permission.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::session::Means;
    use crate::accounts::{Grant, SignedInAs};
    use crate::id::{PersonId, SessionId};

    fn principal(role: Role, workspace: Option<WorkspaceId>, scopes: &[&str]) -> Principal {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let grants = vec![Grant { role, workspace }];
        Principal { actor: "token:t".into(), grants, scopes, expires_at: None, signed_in: None }
    }

    #[test]
    fn roles_count_only_where_they_were_granted() {
        let (ours, theirs) = (WorkspaceId::new(), WorkspaceId::new());
        let owner = principal(Owner, Some(ours), &[]);
        assert_eq!(decide(&owner, Permission::WorkspaceDelete, Some(ours)), Decision::Allowed);
        assert_eq!(decide(&owner, Permission::WorkspaceDelete, Some(theirs)), Decision::Hidden);
        assert_eq!(decide(&owner, Permission::WorkspaceCreate, None), Decision::Forbidden);
        assert_eq!(decide(&owner, Permission::WorkflowOperate, Some(ours)), Decision::Forbidden);
        let support = principal(Support, None, &[]);
        assert_eq!(decide(&support, Permission::WorkspaceRead, Some(theirs)), Decision::Allowed);
        assert_eq!(decide(&support, Permission::WorkspaceChange, Some(theirs)), Decision::Forbidden);
        // A workspace's role is none in the platform, whatever it is called.
        let odd = principal(Operator, Some(ours), &[]);
        assert_eq!(decide(&odd, Permission::WorkspaceRead, Some(ours)), Decision::Forbidden);
        assert_eq!(within(&owner, Permission::WorkspaceRead), Some(vec![ours]));
        assert_eq!(within(&support, Permission::WorkspaceRead), None);
        assert_eq!(within(&owner, Permission::AuditRead), Some(Vec::new()));
    }

    #[test]
    fn whoever_is_signed_in_may_come_in_and_no_token_is_a_person() {
        let nobody = |signed_in| Principal {
            actor: "person:p".into(),
            grants: Vec::new(),
            scopes: Vec::new(),
            expires_at: None,
            signed_in,
        };
        let person =
            nobody(Some(SignedInAs { person: PersonId::new(), session: SessionId::new(), means: Means::Browser }));
        let may = |principal: &Principal, permission| decide(principal, permission, None) == Decision::Allowed;
        assert!(may(&person, Permission::AccountSelf) && may(&person, Permission::WorkspaceCreate));
        assert!(!may(&person, Permission::PersonRead) && !may(&nobody(None), Permission::WorkspaceCreate));
        assert!(!may(&Principal::root(), Permission::AccountSelf));
        assert_eq!(decide(&person, Permission::WorkspaceRead, Some(WorkspaceId::new())), Decision::Hidden);
    }

    #[test]
    fn scopes_take_away_and_never_give() {
        let reader = principal(Operator, None, &["workspace.read", "workflow.*"]);
        let may = |permission| decide(&reader, permission, None) == Decision::Allowed;
        assert!(may(Permission::WorkspaceRead) && may(Permission::WorkflowRead) && may(Permission::WorkflowOperate));
        assert!(!may(Permission::WorkspaceDelete) && !may(Permission::AuditRead));
        let member = principal(Member, Some(WorkspaceId::new()), &["audit.read"]);
        assert_eq!(decide(&member, Permission::AuditRead, None), Decision::Forbidden);
        assert!(!covers("*", "audit.read") && !covers("audit", "audit.read") && !covers("audit.", "audit.read"));
    }

    #[test]
    fn every_permission_is_the_operators_and_has_its_row_in_the_table() {
        let table = include_str!("policy.rs");
        for permission in Permission::ALL {
            let (platform, within) = permission.roles();
            assert!(platform.contains(&Operator) || permission == Permission::AccountSelf);
            let names = |roles: &[Role]| roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
            let row = table
                .lines()
                .find(|line| line.starts_with("//! |") && line.contains(&format!("`{}`", permission.name())));
            let row = row.unwrap_or_else(|| panic!("{} has no row", permission.name()));
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            assert_eq!((cells[2], cells[3]), (names(platform).as_str(), names(within).as_str()), "{row}");
            assert_eq!(cells[4] == "yes", permission.is_everybodys(), "{row}");
        }
    }
}
