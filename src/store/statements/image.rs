//! Statements for images.

use sqlx::types::Json;

use super::signed;
use crate::Result;
use crate::store::{Channel, Image, Reader, Tx};

impl Reader {
    /// An image by its key.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn image(&mut self, key: &str) -> Result<Option<Image>> {
        optional!(self, "reading an image", "SELECT * FROM images WHERE key = $1", key)
    }

    /// All images, by name, the latest build of each first.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn images(&mut self) -> Result<Vec<Image>> {
        all!(self, "reading the images", "SELECT * FROM images ORDER BY name, built_at DESC")
    }

    /// All channels, by image and name.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn channels(&mut self) -> Result<Vec<Channel>> {
        all!(self, "reading the images' channels", "SELECT * FROM channels ORDER BY image, name")
    }

    /// What a channel of an image points at.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn channel(&mut self, image: &str, name: &str) -> Result<Option<Channel>> {
        optional!(
            self,
            "reading an image's channel",
            "SELECT * FROM channels WHERE image = $1 AND name = $2",
            image,
            name
        )
    }
}

impl Tx {
    /// Records a built image, or that it was built again.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn put_image(&mut self, image: &Image) -> Result<()> {
        execute!(
            self,
            "recording an image",
            "INSERT INTO images (key, name, suite, arch, size, location, built_at, build_seconds) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (key) DO UPDATE SET name = excluded.name, \
             size = excluded.size, location = excluded.location, built_at = excluded.built_at, \
             build_seconds = excluded.build_seconds",
            &image.key,
            &image.name,
            &image.suite,
            &image.arch,
            signed(image.size)?,
            &image.location,
            image.built_at,
            i64::from(image.build_seconds)
        )?;
        Ok(())
    }

    /// Writes down what is known of an image's disk.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn set_image_record(&mut self, key: &str, record: &serde_json::Value) -> Result<()> {
        execute!(self, "recording an image's disk", "UPDATE images SET record = $1 WHERE key = $2", Json(record), key)?;
        Ok(())
    }

    /// Points a channel at a build.
    ///
    /// # Errors
    /// Fails where the database does, and where there is no such build.
    pub async fn put_channel(&mut self, channel: &Channel) -> Result<()> {
        execute!(
            self,
            "moving an image's channel",
            "INSERT INTO channels (image, name, key, since) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (image, name) DO UPDATE SET key = excluded.key, since = excluded.since",
            &channel.image,
            &channel.name,
            &channel.key,
            channel.since
        )?;
        Ok(())
    }

    /// Forgets an image.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn delete_image(&mut self, key: &str) -> Result<()> {
        execute!(self, "forgetting an image", "DELETE FROM images WHERE key = $1", key)?;
        Ok(())
    }
}
