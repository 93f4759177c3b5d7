//! Every table, with what its columns hold; a test holds this list against both schemas.

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Text,
    Number,
    Flag,
    Time,
    Json,
    /// An id with this prefix.
    Id(&'static str),
}

/// A table whose rows are carried over, in an order in which what is referred to comes first.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The columns that order the rows, in which order they are read and written.
    pub(super) order: &'static str,
    pub(super) columns: &'static [(&'static str, Holds)],
}

use Holds::{Flag, Id, Json, Number, Text, Time};

/// Tables that say who does what just now, which says nothing elsewhere; and who is signed in: what a backup brings back, its
/// reader could have ended long ago.
#[cfg(test)]
pub(super) const LEFT_BEHIND: [&str; 6] = ["idempotency", "leases", "logins", "sessions", "sign_ins", "workers"];

/// Which setting is not carried over: PostgreSQL has a sequence for it.
pub(super) const FENCE: &str = "fence";

pub(super) const TABLES: &[Table] = &[
    Table { name: "settings", order: "key", columns: &[("key", Text), ("value", Text)] },
    Table {
        name: "revisions",
        order: "number",
        columns: &[
            ("id", Id("rv")),
            ("number", Number),
            ("digest", Text),
            ("blob", Text),
            ("created_at", Time),
            ("created_by", Text),
        ],
    },
    Table {
        name: "workspaces",
        order: "id",
        columns: &[
            ("id", Id("ws")),
            ("slug", Text),
            ("tier", Text),
            ("managed_by", Text),
            ("state", Text),
            ("revision_id", Id("rv")),
            ("created_at", Time),
            ("updated_at", Time),
            ("name", Text),
            ("version", Number),
        ],
    },
    Table {
        name: "nodes",
        order: "id",
        columns: &[
            ("id", Id("nd")),
            ("workspace_id", Id("ws")),
            ("mark", Text),
            ("provider", Text),
            ("kind", Text),
            ("state", Text),
            ("addresses", Json),
            ("ssh_port", Number),
            ("user", Text),
            ("bootstrap_host_key", Text),
            ("host_key", Text),
            ("host_key_pending", Text),
            ("verified", Flag),
            ("recipient", Text),
            ("image", Text),
            ("agent_version", Text),
            ("playbook_digest", Text),
            ("details", Json),
            ("fence", Number),
            ("created_at", Time),
            ("updated_at", Time),
            ("host", Text),
        ],
    },
    Table {
        name: "images",
        order: "key",
        columns: &[
            ("key", Text),
            ("name", Text),
            ("suite", Text),
            ("arch", Text),
            ("size", Number),
            ("location", Text),
            ("built_at", Time),
            ("build_seconds", Number),
            ("record", Json),
        ],
    },
    Table {
        name: "channels",
        order: "image, name",
        columns: &[("image", Text), ("name", Text), ("key", Text), ("since", Time)],
    },
    Table {
        name: "secrets",
        order: "id",
        columns: &[
            ("id", Id("se")),
            ("workspace_id", Id("ws")),
            ("name", Text),
            ("version", Number),
            ("fingerprint", Text),
            ("masked_tail", Text),
            ("salt", Text),
            ("state", Text),
            ("node_id", Id("nd")),
            ("delivered_at", Time),
            ("created_at", Time),
            ("updated_at", Time),
        ],
    },
    Table {
        name: "envelopes",
        order: "node_id, name, version",
        columns: &[
            ("node_id", Id("nd")),
            ("name", Text),
            ("version", Number),
            ("envelope", Json),
            ("expires_at", Time),
        ],
    },
    Table {
        name: "workflows",
        order: "id",
        columns: &[
            ("id", Id("wf")),
            ("kind", Text),
            ("subject", Text),
            ("params", Json),
            ("revision_id", Id("rv")),
            ("state", Text),
            ("fence", Number),
            ("holder", Text),
            ("lease_until", Time),
            ("error", Text),
            ("created_at", Time),
            ("updated_at", Time),
            ("ended_at", Time),
            ("needs", Text),
            ("host", Text),
            ("run_after", Time),
        ],
    },
    Table {
        name: "workflow_steps",
        order: "workflow_id, position",
        columns: &[
            ("workflow_id", Id("wf")),
            ("position", Number),
            ("name", Text),
            ("state", Text),
            ("attempt", Number),
            ("output", Json),
            ("error", Text),
            ("started_at", Time),
            ("ended_at", Time),
        ],
    },
    Table {
        name: "tokens",
        order: "id",
        columns: &[
            ("id", Id("tk")),
            ("hash", Text),
            ("name", Text),
            ("workspace_id", Id("ws")),
            ("role", Text),
            ("scopes", Json),
            ("created_by", Text),
            ("created_at", Time),
            ("expires_at", Time),
            ("last_used_at", Time),
            ("revoked_at", Time),
        ],
    },
    Table {
        name: "people",
        order: "id",
        columns: &[
            ("id", Id("pe")),
            ("email", Text),
            ("email_key", Text),
            ("name", Text),
            ("role", Text),
            ("disabled_at", Time),
            ("created_at", Time),
            ("signed_in_at", Time),
            ("version", Number),
        ],
    },
    Table {
        name: "members",
        order: "workspace_id, person_id",
        columns: &[("workspace_id", Id("ws")), ("person_id", Id("pe")), ("role", Text), ("since", Time)],
    },
    Table {
        name: "invitations",
        order: "id",
        columns: &[
            ("id", Id("iv")),
            ("workspace_id", Id("ws")),
            ("email", Text),
            ("email_key", Text),
            ("role", Text),
            ("state", Text),
            ("invited_by", Text),
            ("created_at", Time),
            ("expires_at", Time),
        ],
    },
    Table {
        name: "audit_entries",
        order: "position",
        columns: &[
            ("position", Number),
            ("id", Id("au")),
            ("version", Number),
            ("at", Time),
            ("actor", Text),
            ("action", Text),
            ("target", Text),
            ("outcome", Text),
            ("request_id", Text),
            ("details", Json),
            ("personal", Json),
            ("seq", Number),
            ("prev_hash", Text),
            ("hash", Text),
        ],
    },
    Table {
        name: "audit_personal",
        order: "entry_id, field",
        columns: &[("entry_id", Id("au")), ("field", Text), ("subject", Text), ("salt", Text), ("value", Text)],
    },
    Table { name: "audit_head", order: "one", columns: &[("one", Number), ("seq", Number), ("hash", Text)] },
];
