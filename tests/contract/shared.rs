//! What only a shared database has: other programs at the same time, other machines, a server that goes away.

use std::sync::Arc;
use std::time::Duration;

use stead::Kind as ErrorKind;
use stead::clock::{Clock, SystemClock};
use stead::store::{Listed, ManagedBy, PgConnectOptions, Store, Turn, Workspace};

use crate::postgres::{Database, Pooler, Server};
use crate::{Kind, World};

fn options(database: &Database) -> PgConnectOptions {
    database.url().parse().unwrap()
}

async fn connect(database: &Database) -> stead::Result<Store> {
    connect_to(options(database)).await
}

async fn connect_to(options: PgConnectOptions) -> stead::Result<Store> {
    let dir = tempfile::tempdir().unwrap();
    let dir = camino::Utf8Path::from_path(dir.path()).unwrap();
    Store::connect(options, dir, Arc::new(SystemClock)).await
}

/// The store of a database through a pooler, with the schema brought up to date.
async fn connect_through(pooler: &Pooler, database: &Database) -> stead::Result<Store> {
    let options: PgConnectOptions = pooler.url(database).parse().unwrap();
    Store::migrate(options.clone()).await?;
    connect_to(options).await
}

#[tokio::test]
async fn a_nul_is_the_mistake_of_whoever_gives_it() {
    let world = World::new(Kind::Postgres).await;
    let workspace = Workspace::new("a\0b", "starter", ManagedBy::Api, SystemClock.now());
    let write = world.store.write(move |tx| Box::pin(async move { tx.insert_workspace(&workspace).await }));
    let error = write.await.unwrap_err();
    assert!(error.kind() == ErrorKind::Input && format!("{error:?}").contains("a NUL"), "{error:?}");
}

#[tokio::test]
async fn a_pooler_of_sessions_serves_and_another_is_told_of() {
    const OVERLOOKS: &str = "ignore_startup_parameters = extra_float_digits";
    let database = Database::new();
    let strict = Pooler::new(&database, "statement", "");
    let error = format!("{:?}", connect_through(&strict, &database).await.map(drop).unwrap_err());
    assert!(error.contains("ignore_startup_parameters = extra_float_digits"), "{error}");
    let transactions = Pooler::new(&database, "transaction", OVERLOOKS);
    let error = format!("{:?}", connect_through(&transactions, &database).await.map(drop).unwrap_err());
    assert!(error.contains("pool_mode = session"), "{error}");

    let sessions = Pooler::new(&database, "session", OVERLOOKS);
    let store = connect_through(&sessions, &database).await.unwrap();
    let writes = (0..40).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let workspace = Workspace::new(format!("w{number}"), "starter", ManagedBy::Api, SystemClock.now());
            let (id, slug) = (workspace.id, workspace.slug.clone());
            store.write(move |tx| Box::pin(async move { tx.insert_workspace(&workspace).await })).await.unwrap();
            assert_eq!(store.workspace_with_node(id).await.unwrap().unwrap().0.slug, slug);
        })
    });
    for written in writes.collect::<Vec<_>>() {
        written.await.unwrap();
    }
    // What a session is told is told behind a pooler too: who waits for others does not wait for ever.
    let held = store.read().await.unwrap().workspace_by_slug("w0").await.unwrap().unwrap().id;
    let (holds, is_held) = tokio::sync::oneshot::channel();
    let (refused, is_refused) = tokio::sync::oneshot::channel::<()>();
    let holder = store.clone();
    let holder = tokio::spawn(async move {
        let write = holder.write(move |tx| {
            Box::pin(async move {
                tx.workspace(held).await?;
                holds.send(()).unwrap();
                is_refused.await.unwrap();
                Ok(())
            })
        });
        write.await.unwrap();
    });
    is_held.await.unwrap();
    let waits = store.write(move |tx| Box::pin(async move { tx.workspace(held).await }));
    let error = tokio::time::timeout(Duration::from_secs(50), waits).await.expect("it waits for ever").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    refused.send(()).unwrap();
    holder.await.unwrap();
}

#[tokio::test]
async fn a_database_that_does_not_suit_the_program_is_refused_with_the_way_out() {
    let database = Database::new();
    let error = format!("{:?}", connect(&database).await.map(drop).unwrap_err());
    assert!(error.contains("holds nothing of Stead's yet") && error.contains("hint: `stead migrate`"), "{error}");
    let steps = Store::migrate(options(&database)).await.unwrap();
    assert_eq!(Store::migrate(options(&database)).await.unwrap(), 0, "nothing is left to do");
    connect(&database).await.unwrap();

    // A newer program has expanded the schema: this one goes on, and takes nothing back.
    database.meddle(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9000, 'from the future', true, '', 0)",
    );
    connect(&database).await.unwrap();
    assert_eq!(Store::migrate(options(&database)).await.unwrap(), 0);
    database.meddle("INSERT INTO settings VALUES ('schema.least', '9000')");
    let error = format!("{:?}", connect(&database).await.map(drop).unwrap_err());
    assert!(error.contains("a newer stead has changed this database (schema 9000;"), "{error}");
    database.meddle("DELETE FROM settings");

    database.meddle(&format!("DELETE FROM _sqlx_migrations WHERE version IN ({steps}, 9000)"));
    let error = format!("{:?}", connect(&database).await.map(drop).unwrap_err());
    assert!(error.contains(&format!("this program needs {steps}")), "{error}");
}

#[tokio::test]
async fn both_databases_have_the_same_tables_and_columns() {
    use sqlx::Connection;
    let (embedded, world) = (World::new(Kind::Sqlite).await, World::new(Kind::Postgres).await);
    let mut sqlite =
        sqlx::SqliteConnection::connect(&format!("sqlite://{}/store.db", embedded.store.dir())).await.unwrap();
    let mut postgres = sqlx::PgConnection::connect(world.place().words().split(' ').next().unwrap()).await.unwrap();
    let theirs: Vec<(String, String)> = sqlx::query_as(
        "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c \
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1, 2",
    )
    .fetch_all(&mut sqlite)
    .await
    .unwrap();
    // Blobs lie in a folder beside an embedded store.
    let ours: Vec<(String, String)> = sqlx::query_as(
        "SELECT table_name::text COLLATE \"C\", column_name::text COLLATE \"C\" FROM information_schema.columns \
         WHERE table_schema = 'public' AND table_name NOT IN ('blobs', 'blob_pieces') ORDER BY 1, 2",
    )
    .fetch_all(&mut postgres)
    .await
    .unwrap();
    assert_eq!(ours, theirs);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_with_the_way_out() {
    let nowhere = "postgres://stead@localhost/none?host=/nowhere".parse().unwrap();
    let error = Store::migrate(nowhere).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(format!("{error:?}").contains("hint: check that PostgreSQL runs"), "{error:?}");
    let database = Database::new();
    let other = options(&database).database("nothing_of_this_name");
    let error = format!("{:?}", Store::migrate(other).await.unwrap_err());
    assert!(error.contains("hint: there is no such database: make it with `createdb`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_write_decides_by_a_row_is_still_so_when_it_is_committed() {
    let world = World::new(Kind::Postgres).await;
    let other = world.open_again().await;
    let (workspace, node) = world.with_node("acme").await;
    let count = |store: Store| async move {
        for _ in 0..25 {
            let write = store.write(move |tx| {
                Box::pin(async move {
                    let mut node = tx.node(node.id).await?.unwrap();
                    node.ssh_port += 1;
                    tx.update_node(&node).await
                })
            });
            write.await.unwrap();
        }
    };
    tokio::join!(count(world.store.clone()), count(other.clone()));
    let found = world.store.read().await.unwrap().node_of(workspace.id).await.unwrap().unwrap();
    assert_eq!(found.ssh_port, 22 + 50);

    let publish = |store: Store, digest: &'static str| async move {
        let blob = stead::store::BlobKey::of(digest.as_bytes());
        store.write(move |tx| Box::pin(async move { tx.publish(digest, &blob, "local:root").await })).await
    };
    for round in 0..10 {
        let digests: [&'static str; 2] = if round % 2 == 0 { ["a", "b"] } else { ["c", "d"] };
        let (one, two) = tokio::join!(publish(world.store.clone(), digests[0]), publish(other.clone(), digests[1]));
        assert_ne!(one.unwrap().0.number, two.unwrap().0.number);
    }
}

#[tokio::test]
async fn a_write_that_ignores_a_failed_statement_is_not_taken_for_done() {
    let world = World::new(Kind::Postgres).await;
    let written = world.store.write(|tx| {
        Box::pin(async move {
            // PostgreSQL's text has no NUL.
            let _ = tx.set_setting("key", "a\0b").await;
            Ok(())
        })
    });
    let error = written.await.unwrap_err();
    assert!(error.to_string().contains("went on after one of its statements had failed"), "{error}");
    world.store.write(|tx| Box::pin(async move { tx.set_setting("key", "v").await })).await.unwrap();
}

#[tokio::test]
async fn one_at_a_time_has_its_turn() {
    let world = World::new(Kind::Postgres).await;
    let (took, taken) = tokio::sync::oneshot::channel();
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let first = world.store.write(|tx| {
        Box::pin(async move {
            tx.take_turn(Turn::AuditChain).await?;
            took.send(()).unwrap();
            gone.await.unwrap();
            Ok(())
        })
    });
    let second = async {
        taken.await.unwrap();
        let mut second =
            Box::pin(world.store.write(|tx| Box::pin(async move { tx.take_turn(Turn::AuditChain).await })));
        assert!(tokio::time::timeout(Duration::from_millis(200), &mut second).await.is_err(), "it waits");
        go.send(()).unwrap();
        second.await.unwrap();
    };
    let (first, ()) = tokio::join!(first, second);
    first.unwrap();
}

#[tokio::test]
async fn a_blob_is_on_every_machine_that_has_the_database() {
    let world = World::new(Kind::Postgres).await;
    let bytes: Vec<u8> = (0..(5 << 19)).map(|n: u32| n.to_le_bytes()[1]).collect();
    let key = world.store.blobs().put(bytes.clone()).await.unwrap();
    let url = world.place().words().split_once(' ').unwrap().0.to_owned();
    let machine = |name| {
        let (options, dir) = (url.parse().unwrap(), world.path(name));
        async move { Store::connect(options, &dir, Arc::new(SystemClock)).await.unwrap() }
    };
    let elsewhere = machine("elsewhere").await;
    assert_eq!(elsewhere.blobs().get(&key).await.unwrap(), bytes);
    assert_eq!(std::fs::read(elsewhere.blobs().local(&key).await.unwrap()).unwrap(), bytes);
    assert_eq!(elsewhere.blobs().list().await.unwrap(), std::slice::from_ref(&key));

    // What somebody put in its place is found out.
    world.meddle("UPDATE blob_pieces SET bytes = 'x' WHERE position = 1").await;
    assert!(machine("third").await.blobs().get(&key).await.is_err());
    elsewhere.blobs().delete(&key).await.unwrap();
    assert!(!world.store.blobs().exists(&key).await.unwrap());
}

#[tokio::test]
async fn a_server_that_went_away_and_came_back_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let database = Database::in_own(Server::own(&dir.path().join("server")));
    Store::migrate(options(&database)).await.unwrap();
    let store = connect(&database).await.unwrap();
    let insert = |slug: &'static str| {
        let workspace = Workspace::new(slug, "starter", ManagedBy::Api, SystemClock.now());
        store.write(move |tx| Box::pin(async move { tx.insert_workspace(&workspace).await }))
    };
    // Several connections, all of which die.
    let (one, two, three) = tokio::join!(insert("one"), insert("two"), insert("three"));
    [one, two, three].into_iter().for_each(|inserted| inserted.unwrap());

    database.server().stop();
    for _ in 0..2 {
        let error = insert("four").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert_eq!(store.read().await.map(drop).unwrap_err().kind(), ErrorKind::Unavailable);
    }
    database.server().start();
    insert("four").await.unwrap();
    assert_eq!(store.read().await.unwrap().workspaces(Listed::Live).await.unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_go_on_while_the_schema_grows() {
    let world = World::new(Kind::Postgres).await;
    world.with_node("acme").await;
    // Every connection has its statements prepared.
    for _ in 0..20 {
        assert_eq!(world.store.read().await.unwrap().workspaces(Listed::Live).await.unwrap().len(), 1);
    }
    // What was read is over, on the server too.
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.meddle("ALTER TABLE workspaces ADD COLUMN later text").await;
    // Each connection is refused once, and forgets what it had prepared.
    for round in 0..60 {
        match world.store.read().await.unwrap().workspaces(Listed::Live).await {
            Ok(found) => assert_eq!(found.len(), 1),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                assert!(round < 40, "{error:?}");
            }
        }
    }
}
