//! Images that were built.

use serde::Serialize;

use crate::clock::Timestamp;

/// A built image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Image {
    /// The hash of all that went into it; its name among builds.
    pub key: String,
    /// The definition's name.
    pub name: String,
    /// Debian's suite (`trixie`).
    pub suite: String,
    /// Debian's name of the architecture (`amd64`).
    pub arch: String,
    /// Size in bytes.
    #[sqlx(try_from = "i64")]
    pub size: u64,
    /// Where it lies: a path, or a blob's key.
    pub location: String,
    /// When the build ended.
    pub built_at: Timestamp,
    /// How long the build took, in seconds.
    #[sqlx(try_from = "i64")]
    pub build_seconds: u32,
    /// What the room `image` remembers of its disk: artefacts, documents, gates. None where no disk was made.
    #[sqlx(json(nullable))]
    pub record: Option<serde_json::Value>,
}

/// A name that points at one build of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Channel {
    /// The image's name.
    pub image: String,
    /// The channel's name (`stable`).
    pub name: String,
    /// The key of the build that it points at.
    pub key: String,
    /// Since when.
    pub since: Timestamp,
}
