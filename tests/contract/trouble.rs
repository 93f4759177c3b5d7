//! Trouble: writes that fail, many writers, newer programs, a full disk.

use std::ffi::CStr;
use std::sync::Arc;

use camino::Utf8Path;
use stead::Error;
use stead::clock::SystemClock;
use stead::store::Store;

use crate::{Kind, World, both, open};

both!(a_write_that_fails_or_panics_takes_nothing_else_with_it, two_writers_lose_nothing_and_never_share_a_fence,);

async fn set(store: &Store, key: String, value: &'static str, fail: bool) -> stead::Result<()> {
    let write = store.write(move |tx| {
        Box::pin(async move {
            tx.set_setting(&key, value).await?;
            if fail { Err(Error::failed("as asked")) } else { Ok(()) }
        })
    });
    write.await
}

async fn a_write_that_fails_or_panics_takes_nothing_else_with_it(kind: Kind) {
    let world = World::new(kind).await;
    let writes = (0..60).map(|n| set(&world.store, format!("k{n}"), "v", n % 3 == 0));
    let panicking = world.store.write(|tx| {
        Box::pin(async move {
            tx.set_setting("panic", "v").await?;
            if tx.setting("panic").await?.is_some() {
                panic!("as asked");
            }
            Ok(())
        })
    });
    let (ended, panicked) = tokio::join!(futures::future::join_all(writes), panicking);
    assert!(panicked.unwrap_err().to_string().contains("panicked"));
    let mut reader = world.store.read().await.unwrap();
    assert_eq!(reader.setting("panic").await.unwrap(), None);
    for (n, ended) in ended.into_iter().enumerate() {
        assert_eq!(ended.is_ok(), n % 3 != 0);
        assert_eq!(reader.setting(&format!("k{n}")).await.unwrap().is_some(), n % 3 != 0, "k{n}");
    }
}

async fn two_writers_lose_nothing_and_never_share_a_fence(kind: Kind) {
    let world = World::new(kind).await;
    let other = world.open_again().await;
    let fences = [&world.store, &other].map(|store| async {
        let mut fences = Vec::new();
        for _ in 0..40 {
            fences.push(store.write(|tx| Box::pin(async move { tx.next_fence().await })).await.unwrap());
        }
        fences
    });
    let mut fences: Vec<u64> = futures::future::join_all(fences).await.concat();
    fences.sort_unstable();
    assert_eq!(fences, (1..=80).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_store_may_be_opened_by_two_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap().join(".stead");
    let opened = futures::future::join_all((0..8).map(|_| {
        let dir = dir.clone();
        tokio::spawn(async move { Store::open(&dir, Arc::new(SystemClock)).await.map(drop) })
    }));
    for opened in opened.await {
        opened.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_store_written_by_a_newer_program_is_refused() {
    let world = World::new(Kind::Sqlite).await;
    world
        .meddle(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9000, 'from the future', 1, x'00', 0)",
        )
        .await;
    let error = Store::open(world.store.dir(), Arc::new(SystemClock)).await.map(drop).unwrap_err();
    let text = format!("{error:?}");
    assert!(text.contains("a newer stead has written this store (schema 9000; this program knows "), "{text}");
    assert!(text.contains("hint: use the newer stead"), "{text}");
}

#[tokio::test]
async fn a_file_that_is_no_store_is_told_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    std::fs::write(dir.join("store.db"), "nothing that SQLite has written, and long enough to tell so".repeat(40))
        .unwrap();
    let error = Store::open(dir, Arc::new(SystemClock)).await.map(drop).unwrap_err();
    assert!(format!("{error:?}").contains("hint: the store's file is damaged"), "{error:?}");
}

/// A small file system of its own; needs root.
pub(crate) struct Tmpfs(pub(crate) camino::Utf8PathBuf);

impl Tmpfs {
    pub(crate) fn mount(at: &Utf8Path, size: &CStr) -> Self {
        std::fs::create_dir(at).unwrap();
        rustix::mount::mount("stead-test", at.as_str(), "tmpfs", rustix::mount::MountFlags::empty(), Some(size))
            .unwrap();
        Self(at.to_owned())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0.as_str(), rustix::mount::UnmountFlags::DETACH);
    }
}

#[tokio::test]
async fn a_full_disk_loses_nothing_acknowledged_and_says_the_way_out() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = Tmpfs::mount(&Utf8Path::from_path(dir.path()).unwrap().join("small"), c"size=1m");
    let store = open(&mount.0.join(".stead")).await;
    let long: &'static str = Box::leak("x".repeat(20_000).into_boxed_str());
    let mut acknowledged = 0;
    let error = loop {
        match set(&store, format!("k{acknowledged}"), long, false).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 100, "the disk never filled");
    };
    assert!(format!("{error:?}").contains("free some space"), "{error:?}");
    let blob = store.blobs().put(vec![7; 2 << 20]).await.unwrap_err();
    assert!(format!("{blob:?}").contains("free some space"), "{blob:?}");

    // With space again the same store goes on; and what was acknowledged is there.
    rustix::mount::mount_remount(mount.0.as_str(), rustix::mount::MountFlags::empty(), c"size=8m").unwrap();
    set(&store, "after".into(), "v", false).await.unwrap();
    store.close().await;
    let store = open(&mount.0.join(".stead")).await;
    let mut reader = store.read().await.unwrap();
    for n in 0..acknowledged {
        assert!(reader.setting(&format!("k{n}")).await.unwrap().is_some(), "k{n}");
    }
    assert!(reader.setting("after").await.unwrap().is_some());
    drop(reader);
    store.close().await;
}
