//! Statements for secrets' records and envelopes.

use sqlx::types::Json;

use super::signed;
use crate::clock::Timestamp;
use crate::id::{NodeId, SecretId, WorkspaceId};
use crate::store::{EnvelopeRecord, Reader, SecretRecord, Tx, database};
use crate::{Error, Result};

impl Reader {
    /// A workspace's secret by name.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn secret(&mut self, workspace: WorkspaceId, name: &str) -> Result<Option<SecretRecord>> {
        sqlx::query_as("SELECT * FROM secrets WHERE workspace_id = ? AND name = ?")
            .bind(workspace)
            .bind(name)
            .fetch_optional(self.sqlite())
            .await
            .map_err(|error| database("reading a secret's record", error))
    }

    /// A workspace's secrets in the order of their names.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn secrets(&mut self, workspace: WorkspaceId) -> Result<Vec<SecretRecord>> {
        sqlx::query_as("SELECT * FROM secrets WHERE workspace_id = ? ORDER BY name")
            .bind(workspace)
            .fetch_all(self.sqlite())
            .await
            .map_err(|error| database("reading the secrets' records", error))
    }

    /// The envelopes that wait for a node and whose time is not over, older versions first.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn envelopes(&mut self, node: NodeId, now: Timestamp) -> Result<Vec<EnvelopeRecord>> {
        sqlx::query_as("SELECT * FROM envelopes WHERE node_id = ? AND expires_at > ? ORDER BY name, version")
            .bind(node)
            .bind(now)
            .fetch_all(self.sqlite())
            .await
            .map_err(|error| database("reading a node's envelopes", error))
    }
}

impl Tx {
    /// Records a secret, or its new value's fingerprint and whereabouts (same workspace and name).
    ///
    /// # Errors
    /// Fails where a higher version is recorded already.
    pub async fn put_secret(&mut self, secret: &SecretRecord) -> Result<()> {
        let now = self.now();
        let put = sqlx::query(
            "INSERT INTO secrets (id, workspace_id, name, version, fingerprint, masked_tail, salt, state, node_id, \
             delivered_at, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (workspace_id, name) DO UPDATE SET version = excluded.version, \
             fingerprint = excluded.fingerprint, masked_tail = excluded.masked_tail, salt = excluded.salt, \
             state = excluded.state, node_id = excluded.node_id, delivered_at = excluded.delivered_at, \
             updated_at = excluded.updated_at WHERE excluded.version >= secrets.version",
        )
        .bind(secret.id)
        .bind(secret.workspace_id)
        .bind(&secret.name)
        .bind(signed(secret.version)?)
        .bind(&secret.fingerprint)
        .bind(&secret.masked_tail)
        .bind(&secret.salt)
        .bind(secret.state)
        .bind(secret.node_id)
        .bind(secret.delivered_at)
        .bind(secret.created_at)
        .bind(now)
        .execute(self.sqlite())
        .await
        .map_err(|error| database("recording a secret", error))?;
        match put.rows_affected() {
            1 => Ok(()),
            _ => Err(Error::failed(format!("a newer value of {} is recorded already", secret.name))),
        }
    }

    /// Forgets a secret's record.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn delete_secret(&mut self, id: SecretId) -> Result<()> {
        sqlx::query("DELETE FROM secrets WHERE id = ?")
            .bind(id)
            .execute(self.sqlite())
            .await
            .map_err(|error| database("forgetting a secret", error))?;
        Ok(())
    }

    /// Keeps signed ciphertext for a node until it is acknowledged or its time is over.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn put_envelope(&mut self, envelope: &EnvelopeRecord) -> Result<()> {
        sqlx::query(
            "INSERT INTO envelopes (node_id, name, version, envelope, expires_at) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT (node_id, name, version) DO UPDATE SET envelope = excluded.envelope, \
             expires_at = excluded.expires_at",
        )
        .bind(envelope.node_id)
        .bind(&envelope.name)
        .bind(signed(envelope.version)?)
        .bind(Json(&envelope.envelope))
        .bind(envelope.expires_at)
        .execute(self.sqlite())
        .await
        .map_err(|error| database("keeping an envelope", error))?;
        Ok(())
    }

    /// Deletes the envelopes of a secret up to the version that the node acknowledged.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn acknowledge_envelope(&mut self, node: NodeId, name: &str, upto: u64) -> Result<()> {
        sqlx::query("DELETE FROM envelopes WHERE node_id = ? AND name = ? AND version <= ?")
            .bind(node)
            .bind(name)
            .bind(signed(upto)?)
            .execute(self.sqlite())
            .await
            .map_err(|error| database("deleting an envelope", error))?;
        Ok(())
    }

    /// Deletes all envelopes of a node that is being destroyed.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn delete_envelopes_of(&mut self, node: NodeId) -> Result<()> {
        sqlx::query("DELETE FROM envelopes WHERE node_id = ?")
            .bind(node)
            .execute(self.sqlite())
            .await
            .map_err(|error| database("deleting envelopes", error))?;
        Ok(())
    }

    /// Deletes the envelopes whose time is over; how many there were.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn expire_envelopes(&mut self) -> Result<u64> {
        let now = self.now();
        let deleted = sqlx::query("DELETE FROM envelopes WHERE expires_at <= ?")
            .bind(now)
            .execute(self.sqlite())
            .await
            .map_err(|error| database("deleting expired envelopes", error))?;
        Ok(deleted.rows_affected())
    }
}
