//! What differs between two states of a fleet's files, workspace by workspace: for `plan`.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::model::{Fleet, Workspace};

/// What happens to one workspace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The workspace's slug.
    pub slug: String,
    /// What happens.
    pub kind: ChangeKind,
    /// What differs; for a workspace that is added or removed, nothing.
    pub fields: Vec<FieldChange>,
}

/// What happens to a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is declared now.
    Added,
    /// It is no longer declared.
    Removed,
    /// It is declared otherwise.
    Changed,
}

/// One value that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldChange {
    /// Which value, as a path from the workspace: `tier`, `size.memory`, `vars.greeting`.
    pub field: String,
    /// What it was; null for nothing.
    pub from: Value,
    /// What it is; null for nothing.
    pub to: Value,
    /// Whether only a new machine can have it: another provider, machine or image, or another size.
    pub needs_new_node: bool,
}

/// What differs, sorted by slug. A tier's values count as the workspaces' that are of it, since that is where they tell.
pub fn diff(before: &Fleet, after: &Fleet) -> Vec<Change> {
    let slugs: BTreeSet<_> = before.workspaces.keys().chain(after.workspaces.keys()).collect();
    slugs
        .into_iter()
        .filter_map(|slug| {
            let (kind, fields) = match (before.workspace(slug), after.workspace(slug)) {
                (None, Some(_)) => (ChangeKind::Added, Vec::new()),
                (Some(_), None) => (ChangeKind::Removed, Vec::new()),
                (Some(old), Some(new)) => {
                    let mut fields = Vec::new();
                    compare("", &effective(before, old), &effective(after, new), &mut fields);
                    (ChangeKind::Changed, fields)
                }
                (None, None) => return None,
            };
            (kind != ChangeKind::Changed || !fields.is_empty()).then(|| Change { slug: slug.clone(), kind, fields })
        })
        .collect()
}

/// All that decides about a workspace's node, its tier's values included.
fn effective(fleet: &Fleet, workspace: &Workspace) -> Value {
    let tier = fleet.tier(workspace);
    serde_json::json!({
        "tier": workspace.tier,
        "provider": workspace.provider,
        "provider_kind": fleet.provider(workspace).map(|provider| provider.kind),
        "size": tier.and_then(|tier| tier.size),
        "image": tier.and_then(|tier| tier.image.as_ref()),
        "vm": tier.map(|tier| tier.vm),
        "updates": tier.map(|tier| tier.updates),
        "playbooks": tier.map(|tier| &tier.playbooks),
        "price": tier.and_then(|tier| tier.price),
        "vars": fleet.vars(workspace),
        "secrets": workspace.secrets,
        "machine": workspace.machine,
        "dns_name": fleet.dns_name(&workspace.slug),
    })
}

fn compare(path: &str, from: &Value, to: &Value, fields: &mut Vec<FieldChange>) {
    if from == to {
        return;
    }
    // Variables are compared by name and no deeper: what is within one is its playbook's own matter.
    let deeper = !path.starts_with("vars.");
    if let (Value::Object(old), Value::Object(new), true) = (from, to, deeper) {
        let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        for key in keys {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
            compare(&path, &of(old), &of(new), fields);
        }
        return;
    }
    let root = path.split('.').next().unwrap_or_default();
    let needs_new_node = match root {
        "provider" | "provider_kind" | "size" | "image" | "vm" => true,
        // The way to a machine may change; another host is another machine.
        "machine" => matches!(path, "machine" | "machine.host"),
        _ => false,
    };
    fields.push(FieldChange { field: path.to_owned(), from: from.clone(), to: to.clone(), needs_new_node });
}

#[cfg(test)]
mod tests {
    use super::super::load::from_text;
    use super::*;

    const BEFORE: &str = include_str!("../../tests/data/diff-before.yaml");

    #[test]
    fn tells_what_is_new_gone_and_different() {
        let before = from_text(BEFORE).unwrap();
        let after = BEFORE
            .replace("  old: {tier: starter}\n", "  new: {tier: starter}\n")
            .replace("memory: 1GiB", "memory: 2GiB")
            .replace("greeting: hi", "greeting: {en: hi}")
            .replace("port: 22", "port: 2222");
        let changes = diff(&before, &from_text(&after).unwrap());
        insta::assert_json_snapshot!(changes);
        assert_eq!(diff(&before, &before), []);
    }

    #[test]
    fn what_a_tier_and_its_workspace_agree_on_does_not_differ() {
        let before = from_text(BEFORE).unwrap();
        // The same variables, said in another place.
        let after = BEFORE.replace("  same: {tier: starter}", "  same: {tier: starter, vars: {greeting: hi}}");
        assert_ne!(after, BEFORE);
        assert_eq!(diff(&before, &from_text(&after).unwrap()), []);
    }
}
