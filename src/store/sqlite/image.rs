//! Statements for images.

use super::signed;
use crate::Result;
use crate::store::{Channel, Image, Reader, Tx, database};

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

    /// All channels, by image and name.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn channels(&mut self) -> Result<Vec<Channel>> {
        sqlx::query_as("SELECT * FROM channels ORDER BY image, name")
            .fetch_all(self.sqlite())
            .await
            .map_err(|error| database("reading the images' channels", error))
    }

    /// What a channel of an image points at.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn channel(&mut self, image: &str, name: &str) -> Result<Option<Channel>> {
        sqlx::query_as("SELECT * FROM channels WHERE image = ? AND name = ?")
            .bind(image)
            .bind(name)
            .fetch_optional(self.sqlite())
            .await
            .map_err(|error| database("reading an image's channel", error))
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

    /// Writes down what is known of an image's disk.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn set_image_record(&mut self, key: &str, record: &serde_json::Value) -> Result<()> {
        sqlx::query("UPDATE images SET record = ? WHERE key = ?")
            .bind(record.to_string())
            .bind(key)
            .execute(self.sqlite())
            .await
            .map_err(|error| database("recording an image's disk", error))?;
        Ok(())
    }

    /// Points a channel at a build.
    ///
    /// # Errors
    /// Fails where the database does, and where there is no such build.
    pub async fn put_channel(&mut self, channel: &Channel) -> Result<()> {
        sqlx::query(
            "INSERT INTO channels (image, name, key, since) VALUES (?, ?, ?, ?) \
             ON CONFLICT (image, name) DO UPDATE SET key = excluded.key, since = excluded.since",
        )
        .bind(&channel.image)
        .bind(&channel.name)
        .bind(&channel.key)
        .bind(channel.since)
        .execute(self.sqlite())
        .await
        .map_err(|error| database("moving an image's channel", error))?;
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
