//! Statements for tokens.

use std::collections::HashMap;

use sqlx::types::Json;

use crate::Result;
use crate::id::{TokenId, WorkspaceId};
use crate::store::{Reader, TokenRecord, Tx};

impl Reader {
    /// The tokens with these hashes, ended or not.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn tokens_by_hash(&mut self, hashes: Vec<String>) -> Result<HashMap<String, TokenRecord>> {
        // OFFSET 0 for the same reason as where workspaces are read with their nodes.
        let tokens: Vec<TokenRecord> = all!(
            self,
            "reading tokens",
            (
                "SELECT * FROM tokens WHERE hash IN (SELECT value FROM json_each($1))",
                "SELECT t.* FROM jsonb_array_elements_text($1) AS asked \
                 CROSS JOIN LATERAL (SELECT * FROM tokens WHERE hash = asked.value OFFSET 0) AS t"
            ),
            Json(hashes),
        )?;
        Ok(tokens.into_iter().map(|token| (token.hash.clone(), token)).collect())
    }

    /// A token by its id, ended or not.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn token(&mut self, id: TokenId) -> Result<Option<TokenRecord>> {
        held!(self, "reading a token", "SELECT * FROM tokens WHERE id = $1", id)
    }

    /// The tokens of a workspace, or those for the platform, in the order of their making.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn tokens(&mut self, workspace: Option<WorkspaceId>) -> Result<Vec<TokenRecord>> {
        all!(
            self,
            "reading the tokens",
            "SELECT * FROM tokens WHERE workspace_id = $1 OR ($1 IS NULL AND workspace_id IS NULL) ORDER BY id",
            workspace,
        )
    }
}

impl Tx {
    /// Records a new token.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn insert_token(&mut self, token: &TokenRecord) -> Result<()> {
        execute!(
            self,
            "recording a token",
            "INSERT INTO tokens (id, hash, name, workspace_id, role, scopes, created_by, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            token.id,
            &token.hash,
            &token.name,
            token.workspace_id,
            token.role,
            Json(&token.scopes),
            &token.created_by,
            token.created_at,
            token.expires_at,
        )
        .map(drop)
    }

    /// Ends a token; whether there was one that had not ended.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn revoke_token(&mut self, id: TokenId) -> Result<bool> {
        let now = self.now();
        execute!(
            self,
            "revoking a token",
            "UPDATE tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL",
            now,
            id,
        )
        .map(|rows| rows == 1)
    }

    /// Ends all tokens for a workspace.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn revoke_tokens_of(&mut self, workspace: WorkspaceId) -> Result<()> {
        let now = self.now();
        execute!(
            self,
            "revoking a workspace's tokens",
            "UPDATE tokens SET revoked_at = $1 WHERE workspace_id = $2 AND revoked_at IS NULL",
            now,
            workspace,
        )
        .map(drop)
    }

    /// Revokes the tokens that an actor made, and those that were made with them, for one workspace or for all.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn revoke_tokens_by(&mut self, actor: &str, workspace: Option<WorkspaceId>) -> Result<()> {
        let (mut actors, mut at) = (vec![actor.to_owned()], 0);
        // None is made by itself or by a later one, so this ends.
        while let Some(actor) = actors.get(at).cloned() {
            at += 1;
            let made: Vec<TokenRecord> = all!(
                self,
                "reading somebody's tokens",
                "SELECT * FROM tokens WHERE created_by = $1 ORDER BY id",
                &actor
            )?;
            for token in made.into_iter().filter(|token| workspace.is_none() || token.workspace_id == workspace) {
                self.revoke_token(token.id).await?;
                actors.push(format!("token:{}", token.id));
            }
        }
        Ok(())
    }

    /// Writes down that a token was used.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn touch_token(&mut self, id: TokenId) -> Result<()> {
        let now = self.now();
        execute!(self, "writing a token", "UPDATE tokens SET last_used_at = $1 WHERE id = $2", now, id).map(drop)
    }
}
