//! Statements for workspaces.

use crate::id::WorkspaceId;
use crate::store::{Reader, Tx, Workspace, database};
use crate::{Error, Result};

/// Which records a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Those that are not gone.
    Live,
    /// All that ever were.
    All,
}

impl Reader {
    /// A workspace by its id, gone or not.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn workspace(&mut self, id: WorkspaceId) -> Result<Option<Workspace>> {
        sqlx::query_as("SELECT * FROM workspaces WHERE id = ?")
            .bind(id)
            .fetch_optional(self.sqlite())
            .await
            .map_err(|error| database("reading a workspace", error))
    }

    /// The workspace with this slug (without regard to case) that is not gone.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn workspace_by_slug(&mut self, slug: &str) -> Result<Option<Workspace>> {
        sqlx::query_as("SELECT * FROM workspaces WHERE lower(slug) = lower(?) AND state <> 'gone'")
            .bind(slug)
            .fetch_optional(self.sqlite())
            .await
            .map_err(|error| database("reading a workspace", error))
    }

    /// Workspaces in the order of their slugs.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn workspaces(&mut self, listed: Listed) -> Result<Vec<Workspace>> {
        sqlx::query_as("SELECT * FROM workspaces WHERE ?1 OR state <> 'gone' ORDER BY lower(slug), id")
            .bind(listed == Listed::All)
            .fetch_all(self.sqlite())
            .await
            .map_err(|error| database("reading the workspaces", error))
    }
}

impl Tx {
    /// Records a new workspace.
    ///
    /// # Errors
    /// Fails where a workspace that is not gone has this slug.
    pub async fn insert_workspace(&mut self, workspace: &Workspace) -> Result<()> {
        let inserted = sqlx::query(
            "INSERT INTO workspaces (id, slug, tier, managed_by, state, revision_id, created_at, updated_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(workspace.id)
        .bind(&workspace.slug)
        .bind(&workspace.tier)
        .bind(workspace.managed_by)
        .bind(workspace.state)
        .bind(workspace.revision_id)
        .bind(workspace.created_at)
        .bind(workspace.updated_at)
        .execute(self.sqlite())
        .await;
        match inserted {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                Err(Error::input(format!("there is a workspace named {:?} already", workspace.slug))
                    .hint("choose another slug; `stead status` lists those in use"))
            }
            other => other.map(drop).map_err(|error| database("recording a workspace", error)),
        }
    }

    /// Writes a workspace's tier, management, state and revision; sets the time.
    ///
    /// # Errors
    /// Fails where there is no such workspace.
    pub async fn update_workspace(&mut self, workspace: &Workspace) -> Result<()> {
        let now = self.now();
        let updated = sqlx::query(
            "UPDATE workspaces SET tier = ?, managed_by = ?, state = ?, revision_id = ?, updated_at = ? WHERE id = ?",
        )
        .bind(&workspace.tier)
        .bind(workspace.managed_by)
        .bind(workspace.state)
        .bind(workspace.revision_id)
        .bind(now)
        .bind(workspace.id)
        .execute(self.sqlite())
        .await
        .map_err(|error| database("writing a workspace", error))?;
        match updated.rows_affected() {
            1 => Ok(()),
            _ => Err(Error::failed(format!("there is no workspace {}", workspace.id))),
        }
    }
}
