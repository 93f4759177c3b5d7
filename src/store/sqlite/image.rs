//! Statements for images.

use super::signed;
use crate::Result;
use crate::store::{Image, Reader, Tx, database};

impl Reader {
    /// An image by its key.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn image(&mut self, key: &str) -> Result<Option<Image>> {
        sqlx::query_as("SELECT * FROM images WHERE key = ?")
            .bind(key)
            .fetch_optional(self.sqlite())
            .await
            .map_err(|error| database("reading an image", error))
    }

    /// All images, by name, the latest build of each first.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn images(&mut self) -> Result<Vec<Image>> {
        sqlx::query_as("SELECT * FROM images ORDER BY name, built_at DESC")
            .fetch_all(self.sqlite())
            .await
            .map_err(|error| database("reading the images", error))
    }
}

impl Tx {
    /// Records a built image, or that it was built again.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn put_image(&mut self, image: &Image) -> Result<()> {
        sqlx::query(
            "INSERT INTO images (key, name, suite, arch, size, location, built_at, build_seconds) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET name = excluded.name, \
             size = excluded.size, location = excluded.location, built_at = excluded.built_at, \
             build_seconds = excluded.build_seconds",
        )
        .bind(&image.key)
        .bind(&image.name)
        .bind(&image.suite)
        .bind(&image.arch)
        .bind(signed(image.size)?)
        .bind(&image.location)
        .bind(image.built_at)
        .bind(image.build_seconds)
        .execute(self.sqlite())
        .await
        .map_err(|error| database("recording an image", error))?;
        Ok(())
    }

    /// Forgets an image.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn delete_image(&mut self, key: &str) -> Result<()> {
        sqlx::query("DELETE FROM images WHERE key = ?")
            .bind(key)
            .execute(self.sqlite())
            .await
            .map_err(|error| database("forgetting an image", error))?;
        Ok(())
    }
}
