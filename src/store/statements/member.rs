//! Statements for what people are to workspaces.

use crate::Result;
use crate::clock::Timestamp;
use crate::id::{InvitationId, PersonId, WorkspaceId};
use crate::store::{Invitation, Member, Membership, NamedMember, Reader, Tx};

impl Reader {
    /// What somebody is to a workspace.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn member(&mut self, workspace: WorkspaceId, person: PersonId) -> Result<Option<Member>> {
        held!(
            self,
            "reading a member",
            "SELECT * FROM members WHERE workspace_id = $1 AND person_id = $2",
            workspace,
            person
        )
    }

    /// A workspace's members, in the order of their coming to the platform.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn members(&mut self, workspace: WorkspaceId) -> Result<Vec<Member>> {
        all!(self, "reading the members", "SELECT * FROM members WHERE workspace_id = $1 ORDER BY person_id", workspace)
    }

    /// A workspace's members with who they are, in the order of their coming to the platform.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn named_members(&mut self, workspace: WorkspaceId) -> Result<Vec<NamedMember>> {
        all!(
            self,
            "reading the members",
            "SELECT m.*, p.email, p.name FROM members m JOIN people p ON p.id = m.person_id \
             WHERE m.workspace_id = $1 ORDER BY m.person_id",
            workspace
        )
    }

    /// What a person is to workspaces that are not gone.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn memberships(&mut self, person: PersonId) -> Result<Vec<Membership>> {
        all!(
            self,
            "reading memberships",
            "SELECT m.*, w.slug FROM members m JOIN workspaces w ON w.id = m.workspace_id \
             WHERE m.person_id = $1 AND w.state <> 'gone' ORDER BY m.workspace_id",
            person
        )
    }

    /// An invitation by its id.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn invitation(&mut self, id: InvitationId) -> Result<Option<Invitation>> {
        held!(self, "reading an invitation", "SELECT * FROM invitations WHERE id = $1", id)
    }

    /// A workspace's invitations that nobody has answered and that have not ended.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn invitations(&mut self, workspace: WorkspaceId) -> Result<Vec<Invitation>> {
        let now = self.now();
        all!(
            self,
            "reading the invitations",
            "SELECT * FROM invitations WHERE workspace_id = $1 AND state = 'open' AND expires_at > $2 ORDER BY id",
            workspace,
            now,
        )
    }

    /// How many invitations a workspace has sent since a moment, whatever became of them.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn invitations_since(&mut self, workspace: WorkspaceId, since: Timestamp) -> Result<i64> {
        one!(
            self,
            "counting invitations",
            "SELECT count(*) FROM invitations WHERE workspace_id = $1 AND created_at > $2",
            workspace,
            since
        )
    }

    /// The invitations to an address that nobody has answered and that have not ended, to workspaces that are not gone.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn invitations_to(&mut self, email_key: &str) -> Result<Vec<Invitation>> {
        let now = self.now();
        all!(
            self,
            "reading the invitations",
            "SELECT i.* FROM invitations i JOIN workspaces w ON w.id = i.workspace_id \
             WHERE i.email_key = $1 AND i.state = 'open' AND i.expires_at > $2 AND w.state <> 'gone' ORDER BY i.id",
            email_key,
            now,
        )
    }
}

impl Tx {
    /// Records what somebody is to a workspace, whatever they were before; false where the workspace has another owner.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn put_member(&mut self, member: &Member) -> Result<bool> {
        let changed = execute!(
            self,
            "writing a member",
            "UPDATE members SET role = $1 WHERE workspace_id = $2 AND person_id = $3",
            member.role,
            member.workspace_id,
            member.person_id,
        )?;
        if changed == 1 {
            return Ok(true);
        }
        insert!(
            self,
            "recording a member",
            "INSERT INTO members (workspace_id, person_id, role, since) VALUES ($1, $2, $3, $4)",
            member.workspace_id,
            member.person_id,
            member.role,
            member.since,
        )
    }

    /// Takes somebody out of a workspace; whether they were in it.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn remove_member(&mut self, workspace: WorkspaceId, person: PersonId) -> Result<bool> {
        execute!(
            self,
            "removing a member",
            "DELETE FROM members WHERE workspace_id = $1 AND person_id = $2",
            workspace,
            person,
        )
        .map(|removed| removed == 1)
    }

    /// Records an invitation, in the place of an open one to the same address.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn insert_invitation(&mut self, invitation: &Invitation) -> Result<bool> {
        execute!(
            self,
            "replacing an invitation",
            "UPDATE invitations SET state = 'revoked' WHERE workspace_id = $1 AND email_key = $2 AND state = 'open'",
            invitation.workspace_id,
            &invitation.email_key,
        )?;
        insert!(
            self,
            "recording an invitation",
            "INSERT INTO invitations (id, workspace_id, email, email_key, role, state, invited_by, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            invitation.id,
            invitation.workspace_id,
            &invitation.email,
            &invitation.email_key,
            invitation.role,
            invitation.state,
            &invitation.invited_by,
            invitation.created_at,
            invitation.expires_at,
        )
    }

    /// Takes back what an actor has asked others to become, in one workspace or in all.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn revoke_invitations_by(&mut self, actor: &str, workspace: Option<WorkspaceId>) -> Result<()> {
        execute!(
            self,
            "taking invitations back",
            "UPDATE invitations SET state = 'revoked' WHERE invited_by = $1 AND ($2 IS NULL OR workspace_id = $2) \
             AND state = 'open'",
            actor,
            workspace,
        )
        .map(drop)
    }

    /// Writes what became of an invitation; whether it was open.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn answer_invitation(&mut self, invitation: &Invitation) -> Result<bool> {
        execute!(
            self,
            "writing an invitation",
            "UPDATE invitations SET state = $1 WHERE id = $2 AND state = 'open'",
            invitation.state,
            invitation.id,
        )
        .map(|answered| answered == 1)
    }
}
