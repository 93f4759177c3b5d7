//! Statements for secrets' records and envelopes.

use sqlx::types::Json;

use super::signed;
use crate::clock::Timestamp;
use crate::id::{NodeId, SecretId, WorkspaceId};
use crate::store::{EnvelopeRecord, Reader, SecretRecord, Tx};
use crate::{Error, Result};

impl Reader {
    /// A workspace's secret by name.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn secret(&mut self, workspace: WorkspaceId, name: &str) -> Result<Option<SecretRecord>> {
        held!(
            self,
            "reading a secret's record",
            "SELECT * FROM secrets WHERE workspace_id = $1 AND name = $2",
            workspace,
            name
        )
    }

    /// A workspace's secrets in the order of their names.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn secrets(&mut self, workspace: WorkspaceId) -> Result<Vec<SecretRecord>> {
        all!(
            self,
            "reading the secrets' records",
            "SELECT * FROM secrets WHERE workspace_id = $1 ORDER BY name",
            workspace
        )
    }

    /// The envelopes that wait for a node and whose time is not over, older versions first.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn envelopes(&mut self, node: NodeId, now: Timestamp) -> Result<Vec<EnvelopeRecord>> {
        all!(
            self,
            "reading a node's envelopes",
            "SELECT * FROM envelopes WHERE node_id = $1 AND expires_at > $2 ORDER BY name, version",
            node,
            now
        )
    }
}

impl Tx {
    /// Records a secret, or its new value's fingerprint and whereabouts (same workspace and name).
    ///
    /// # Errors
    /// Fails where a higher version is recorded already.
    pub async fn put_secret(&mut self, secret: &SecretRecord) -> Result<()> {
        let now = self.now();
        let put = execute!(
            self,
            "recording a secret",
            "INSERT INTO secrets (id, workspace_id, name, version, fingerprint, masked_tail, salt, state, node_id, \
             delivered_at, created_at, updated_at, lost_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
             ON CONFLICT (workspace_id, name) DO UPDATE SET version = excluded.version, \
             fingerprint = excluded.fingerprint, masked_tail = excluded.masked_tail, salt = excluded.salt, \
             state = excluded.state, node_id = excluded.node_id, delivered_at = excluded.delivered_at, \
             updated_at = excluded.updated_at, lost_at = excluded.lost_at WHERE excluded.version >= secrets.version",
            secret.id,
            secret.workspace_id,
            &secret.name,
            signed(secret.version)?,
            &secret.fingerprint,
            &secret.masked_tail,
            &secret.salt,
            secret.state,
            secret.node_id,
            secret.delivered_at,
            secret.created_at,
            now,
            secret.lost_at
        )?;
        match put {
            1 => Ok(()),
            _ => Err(Error::failed(format!("a newer value of {} is recorded already", secret.name))),
        }
    }

    /// Forgets a secret's record.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn delete_secret(&mut self, id: SecretId) -> Result<()> {
        execute!(self, "forgetting a secret", "DELETE FROM secrets WHERE id = $1", id)?;
        Ok(())
    }

    /// Keeps signed ciphertext for a node until it is acknowledged or its time is over.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn put_envelope(&mut self, envelope: &EnvelopeRecord) -> Result<()> {
        execute!(
            self,
            "keeping an envelope",
            "INSERT INTO envelopes (node_id, name, version, envelope, expires_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (node_id, name, version) DO UPDATE SET envelope = excluded.envelope, \
             expires_at = excluded.expires_at",
            envelope.node_id,
            &envelope.name,
            signed(envelope.version)?,
            Json(&envelope.envelope),
            envelope.expires_at
        )?;
        Ok(())
    }

    /// Deletes the envelopes of a secret up to the version that the node acknowledged.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn acknowledge_envelope(&mut self, node: NodeId, name: &str, upto: u64) -> Result<()> {
        execute!(
            self,
            "deleting an envelope",
            "DELETE FROM envelopes WHERE node_id = $1 AND name = $2 AND version <= $3",
            node,
            name,
            signed(upto)?
        )?;
        Ok(())
    }

    /// Deletes all envelopes of a node that is being destroyed.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn delete_envelopes_of(&mut self, node: NodeId) -> Result<()> {
        execute!(self, "deleting envelopes", "DELETE FROM envelopes WHERE node_id = $1", node)?;
        Ok(())
    }

    /// Deletes the envelopes whose time is over; how many there were.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn expire_envelopes(&mut self) -> Result<u64> {
        let now = self.now();
        let deleted =
            execute!(self, "deleting expired envelopes", "DELETE FROM envelopes WHERE expires_at <= $1", now)?;
        Ok(deleted)
    }
}
