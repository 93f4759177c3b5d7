//! Blobs in the database, in pieces, so that every machine has them that has the database.

use std::io::{Read, Write};

use futures::TryStreamExt;
use sqlx::PgPool;

use crate::store::{BlobKey, database};
use crate::{Error, Result};

/// How many bytes one row holds: enough that rows are few, little enough to hold in memory by the dozen.
const PIECE: usize = 1 << 20;

/// The blobs of a database. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::store) struct Pieces(PgPool);

impl Pieces {
    pub(in crate::store) fn of(pool: PgPool) -> Self {
        Self(pool)
    }

    /// Keeps a blob whose bytes were checked against its name; keeping one twice is keeping it once.
    pub(in crate::store) async fn put(&self, key: &BlobKey, mut from: impl Read + Send) -> Result<()> {
        let keeping = |error| database("keeping a blob in the database", error);
        let mut tx = super::begin(&self.0, "BEGIN").await.map_err(keeping)?;
        // Whoever keeps the same blob at the same time waits here, and finds it kept.
        let new = sqlx::query("INSERT INTO blobs (key, size) VALUES ($1, 0) ON CONFLICT DO NOTHING")
            .bind(key)
            .execute(&mut *tx)
            .await
            .map_err(keeping)?;
        if new.rows_affected() == 0 {
            return Ok(());
        }
        let (mut position, mut size) = (0_i64, 0_i64);
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            let length = from.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
            if length == 0 {
                break;
            }
            sqlx::query("INSERT INTO blob_pieces (key, position, bytes) VALUES ($1, $2, $3)")
                .bind(key)
                .bind(position)
                .bind(piece)
                .execute(&mut *tx)
                .await
                .map_err(keeping)?;
            position += 1;
            size += i64::try_from(length).unwrap_or(i64::MAX);
        }
        sqlx::query("UPDATE blobs SET size = $2 WHERE key = $1")
            .bind(key)
            .bind(size)
            .execute(&mut *tx)
            .await
            .map_err(keeping)?;
        tx.commit().await.map_err(keeping)
    }

    /// Writes a blob's bytes to `to`, a piece at a time. Whoever reads them is to check them against the name.
    pub(in crate::store) async fn get(&self, key: &BlobKey, to: &mut (impl Write + Send)) -> Result<()> {
        let reading = |error| database("reading a blob from the database", error);
        if !self.exists(key).await? {
            return Err(Error::failed(format!("reading the blob {key}: it is not there")));
        }
        let mut pieces = sqlx::query_scalar("SELECT bytes FROM blob_pieces WHERE key = $1 ORDER BY position")
            .bind(key)
            .fetch(&self.0);
        while let Some(piece) = pieces.try_next().await.map_err(reading)? {
            let piece: Vec<u8> = piece;
            to.write_all(&piece)?;
        }
        Ok(())
    }

    pub(in crate::store) async fn exists(&self, key: &BlobKey) -> Result<bool> {
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM blobs WHERE key = $1)")
            .bind(key)
            .fetch_one(&self.0)
            .await
            .map_err(|error| database("looking for a blob in the database", error))
    }

    pub(in crate::store) async fn delete(&self, key: &BlobKey) -> Result<()> {
        let deleted = sqlx::query("DELETE FROM blobs WHERE key = $1").bind(key).execute(&self.0).await;
        deleted.map(drop).map_err(|error| database("deleting a blob in the database", error))
    }

    pub(in crate::store) async fn list(&self) -> Result<Vec<BlobKey>> {
        sqlx::query_scalar("SELECT key FROM blobs ORDER BY key")
            .fetch_all(&self.0)
            .await
            .map_err(|error| database("listing the database's blobs", error))
    }
}
