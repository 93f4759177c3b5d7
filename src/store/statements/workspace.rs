//! Statements for workspaces.

use sqlx::types::Json;

use crate::id::WorkspaceId;
use crate::store::{Reader, Tx, Workspace, WorkspaceState};
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
        held!(self, "reading a workspace", "SELECT * FROM workspaces WHERE id = $1", id)
    }

    /// The workspace with this slug (without regard to case) that is not gone.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn workspace_by_slug(&mut self, slug: &str) -> Result<Option<Workspace>> {
        held!(
            self,
            "reading a workspace",
            "SELECT * FROM workspaces WHERE lower(slug) = lower($1) AND state <> 'gone'",
            slug
        )
    }

    /// Workspaces in the order of their slugs.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn workspaces(&mut self, listed: Listed) -> Result<Vec<Workspace>> {
        all!(
            self,
            "reading the workspaces",
            "SELECT * FROM workspaces WHERE $1 OR state <> 'gone' ORDER BY lower(slug), id",
            listed == Listed::All
        )
    }

    /// At most `limit` workspaces whose id is above `after`, in the order of their making. Those that are gone are left out
    /// unless `state` asks for them.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn workspaces_page(&mut self, page: &WorkspacePage) -> Result<Vec<Workspace>> {
        if let Some(within) = &page.within {
            let ids = self.ids(within);
            // By their ids: those of one person are few among many.
            return all!(
                self,
                "reading the workspaces",
                (
                    "SELECT * FROM workspaces WHERE id IN (SELECT value FROM json_each($1)) AND ($2 IS NULL OR id > $2) \
                     AND ($3 IS NULL OR state = $3) AND ($3 IS NOT NULL OR state <> 'gone') \
                     AND ($4 IS NULL OR lower(slug) = lower($4)) ORDER BY id LIMIT $5",
                    "SELECT * FROM workspaces WHERE id IN (SELECT value::uuid FROM jsonb_array_elements_text($1)) \
                     AND ($2 IS NULL OR id > $2) AND ($3 IS NULL OR state = $3) AND ($3 IS NOT NULL OR state <> 'gone') \
                     AND ($4 IS NULL OR lower(slug) = lower($4)) ORDER BY id LIMIT $5"
                ),
                Json(ids),
                page.after,
                page.state,
                page.slug.as_deref(),
                i64::from(page.limit),
            );
        }
        let limit = i64::from(page.limit);
        // A statement for each index: one for all of them would look at every workspace.
        match (page.slug.as_deref(), page.state) {
            // Not of those that are gone: of these, many may have had the slug.
            (Some(slug), state) if state != Some(WorkspaceState::Gone) => all!(
                self,
                "reading the workspaces",
                "SELECT * FROM workspaces WHERE lower(slug) = lower($1) AND state <> 'gone' AND ($2 IS NULL OR id > $2) \
                 AND ($3 IS NULL OR state = $3) ORDER BY id LIMIT $4",
                slug,
                page.after,
                state,
                limit,
            ),
            (slug, Some(state)) => {
                let first = page.after.unwrap_or(WorkspaceId::of_uuid(uuid::Uuid::nil()));
                all!(
                    self,
                    "reading the workspaces",
                    "SELECT * FROM workspaces WHERE state = $1 AND id > $2 AND ($3 IS NULL OR lower(slug) = lower($3)) \
                     ORDER BY id LIMIT $4",
                    state,
                    first,
                    slug,
                    limit,
                )
            }
            (_, None) => {
                let first = page.after.unwrap_or(WorkspaceId::of_uuid(uuid::Uuid::nil()));
                all!(
                    self,
                    "reading the workspaces",
                    "SELECT * FROM workspaces WHERE id > $1 AND state <> 'gone' ORDER BY id LIMIT $2",
                    first,
                    limit,
                )
            }
        }
    }
}

/// Which workspaces a page holds.
#[derive(Debug, Clone, Default)]
pub struct WorkspacePage {
    /// Those behind this one.
    pub after: Option<WorkspaceId>,
    /// Those in this state.
    pub state: Option<WorkspaceState>,
    /// The one with this slug.
    pub slug: Option<String>,
    /// Those among these: all that whoever asks may see.
    pub within: Option<Vec<WorkspaceId>>,
    /// The most that the page holds.
    pub limit: u32,
}

impl Tx {
    /// Records a new workspace.
    ///
    /// # Errors
    /// Fails where a workspace that is not gone has this slug.
    pub async fn insert_workspace(&mut self, workspace: &Workspace) -> Result<()> {
        let inserted = insert!(
            self,
            "recording a workspace",
            "INSERT INTO workspaces (id, slug, tier, managed_by, state, revision_id, created_at, updated_at, name, \
             suspension, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1)",
            workspace.id,
            &workspace.slug,
            &workspace.tier,
            workspace.managed_by,
            workspace.state,
            workspace.revision_id,
            workspace.created_at,
            workspace.updated_at,
            &workspace.name,
            workspace.suspension.as_ref().map(Json),
        )?;
        match inserted {
            true => Ok(()),
            false => Err(Error::conflict(format!("there is a workspace named {:?} already", workspace.slug))
                .hint("choose another slug; `stead status` lists those in use")),
        }
    }

    /// Writes a workspace's tier, management, state, revision, name and suspension; sets the time, and counts the version up.
    ///
    /// # Errors
    /// Fails where there is no such workspace.
    pub async fn update_workspace(&mut self, workspace: &Workspace) -> Result<()> {
        let now = self.now();
        let updated = execute!(
            self,
            "writing a workspace",
            "UPDATE workspaces SET tier = $1, managed_by = $2, state = $3, revision_id = $4, updated_at = $5, name = $6, \
             suspension = $7, version = version + 1 WHERE id = $8",
            &workspace.tier,
            workspace.managed_by,
            workspace.state,
            workspace.revision_id,
            now,
            &workspace.name,
            workspace.suspension.as_ref().map(Json),
            workspace.id
        )?;
        match updated {
            1 => Ok(()),
            _ => Err(Error::failed(format!("there is no workspace {}", workspace.id))),
        }
    }
}
