//! Backup, and going on from it elsewhere.

use std::sync::Arc;

use stead::audit;
use stead::clock::SystemClock;
use stead::store::{Listed, restore};

use crate::{Kind, World, open};

#[tokio::test]
async fn restored_elsewhere_it_goes_on() {
    let world = World::new(Kind::Sqlite).await;
    world.with_node("acme").await;
    let blob = world.store.blobs().put(vec![5; 300_000]).await.unwrap();
    let old = world.store.write(|tx| Box::pin(async move { tx.next_fence().await })).await.unwrap();
    let file = world.path("backup.stead");
    let manifest = world.store.backup(&file).await.unwrap();
    assert_eq!(manifest.fleet.as_ref(), Some(&world.fleet));
    assert_eq!(manifest.entries.len(), 2);
    assert!(world.store.backup(&file).await.unwrap_err().to_string().contains("exists"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    let elsewhere = world.path("elsewhere/.stead");
    assert_eq!(restore(&file, &elsewhere, Arc::new(SystemClock)).await.unwrap(), manifest);
    let names: Vec<_> = std::fs::read_dir(&elsewhere).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing but records and blobs: {names:?}");
    let store = open(&elsewhere).await;
    store.bind_fleet(&world.fleet).await.unwrap();
    assert_eq!(store.read().await.unwrap().nodes(Listed::Live).await.unwrap().len(), 1);
    assert_eq!(store.blobs().get(&blob).await.unwrap(), vec![5; 300_000]);
    let new = store.write(|tx| Box::pin(async move { tx.next_fence().await })).await.unwrap();
    assert!(new > old + 1000, "nodes may have seen higher fences than the backup: {new}");
    assert_eq!(audit::verify(&store).await.unwrap().broken, None);

    let error = restore(&file, &elsewhere, Arc::new(SystemClock)).await.unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
}

#[tokio::test]
async fn a_damaged_backup_is_refused_and_leaves_nothing() {
    let world = World::new(Kind::Sqlite).await;
    world.store.blobs().put(vec![5; 1000]).await.unwrap();
    let file = world.path("backup.stead");
    world.store.backup(&file).await.unwrap();
    let whole = std::fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let cases = [("flipped", flipped), ("cut", whole[..whole.len() / 2].to_vec()), ("other", b"hello".to_vec())];
    for (name, bytes) in cases {
        let damaged = world.path(name);
        std::fs::write(&damaged, bytes).unwrap();
        let dir = world.path("elsewhere");
        let error = restore(&damaged, &dir, Arc::new(SystemClock)).await.unwrap_err();
        assert!(format!("{error:?}").contains("not a whole backup"), "{name}: {error:?}");
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0, "{name}");
    }
}
