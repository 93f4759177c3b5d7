//! The audit log: whatever is done to it is found, and the first broken entry is named.

use stead::audit::{self, Checkpoints, Entry, Fault, checkpoint};
use stead::keypair;

use crate::{Kind, World, both};

both!(
    an_untouched_log_is_whole_and_goes_on,
    an_act_that_is_taken_back_leaves_no_entry,
    erasing_a_person_leaves_the_chain_whole,
    tampering_is_found_at_the_first_broken_entry,
    checkpoints_outside_the_database_show_what_the_chain_alone_cannot,
);

/// Five sealed entries, the second with a person's data.
async fn world(kind: Kind) -> World {
    let world = World::new(kind).await;
    for n in 1..=5 {
        let append = world.store.write(move |tx| {
            Box::pin(async move {
                let mut entry = Entry::new("local:root", "node.create", format!("nd_{n}")).detail("n", n);
                if n == 2 {
                    entry = entry.personal("email", "ac_1", "ada@example.com");
                }
                entry.append(tx).await
            })
        });
        append.await.unwrap();
    }
    assert_eq!(audit::verify(&world.store).await.unwrap().unsealed, 5);
    assert_eq!(audit::seal(&world.store).await.unwrap(), 5);
    assert_eq!(audit::seal(&world.store).await.unwrap(), 0);
    world
}

async fn an_untouched_log_is_whole_and_goes_on(kind: Kind) {
    let world = world(kind).await;
    let report = audit::verify(&world.store).await.unwrap();
    assert_eq!((report.verified, report.unsealed, report.broken), (5, 0, None));
    assert_eq!(report.head.unwrap().seq, 5);
    let targets: Vec<_> =
        audit::list(&world.store, None, 2).await.unwrap().into_iter().map(|entry| entry.target).collect();
    assert_eq!(targets, ["nd_4", "nd_5"]);
    assert_eq!(audit::list(&world.store, Some("nd_2"), 10).await.unwrap().len(), 1);
}

async fn an_act_that_is_taken_back_leaves_no_entry(kind: Kind) {
    let world = world(kind).await;
    let act = world.store.write(|tx| {
        Box::pin(async move {
            Entry::new("local:root", "node.create", "nd_6").append(tx).await?;
            Err::<(), _>(stead::Error::failed("as asked"))
        })
    });
    act.await.unwrap_err();
    assert_eq!(audit::verify(&world.store).await.unwrap().unsealed, 0);
    let fraction = world.store.write(|tx| {
        Box::pin(async move { Entry::new("local:root", "node.create", "nd_6").detail("load", 0.5).append(tx).await })
    });
    assert!(fraction.await.is_err(), "what cannot be hashed alike everywhere fails the act, not the sealer");
}

async fn erasing_a_person_leaves_the_chain_whole(kind: Kind) {
    let world = world(kind).await;
    assert_eq!(audit::erase(&world.store, "local:root", "ac_1").await.unwrap(), 1);
    audit::seal(&world.store).await.unwrap();
    let report = audit::verify(&world.store).await.unwrap();
    assert_eq!((report.verified, report.broken), (6, None));
    let id = audit::list(&world.store, Some("nd_2"), 1).await.unwrap()[0].id;
    assert!(world.store.read().await.unwrap().audit_personal(id).await.unwrap().is_empty());
}

async fn tampering_is_found_at_the_first_broken_entry(kind: Kind) {
    let cases: &[(&str, i64, Fault)] = &[
        ("UPDATE audit_entries SET actor = 'local:eve' WHERE seq = 3", 3, Fault::Changed),
        ("UPDATE audit_entries SET details = '{\"n\":9}' WHERE seq = 1", 1, Fault::Changed),
        ("UPDATE audit_entries SET at = '2020-01-01T00:00:00+00:00' WHERE seq = 5", 5, Fault::Changed),
        ("UPDATE audit_entries SET hash = prev_hash WHERE seq = 2", 2, Fault::Changed),
        ("DELETE FROM audit_entries WHERE seq = 3", 3, Fault::Missing),
        ("DELETE FROM audit_entries WHERE seq = 1", 1, Fault::Missing),
        (
            "UPDATE audit_entries SET seq = -1 WHERE seq = 3; UPDATE audit_entries SET seq = 3 WHERE seq = 4; \
             UPDATE audit_entries SET seq = 4 WHERE seq = -1",
            3,
            Fault::Reordered,
        ),
        ("DELETE FROM audit_entries WHERE seq > 3", 4, Fault::Cut),
        ("DELETE FROM audit_entries", 1, Fault::Cut),
        ("DELETE FROM audit_head", 5, Fault::Head),
        ("UPDATE audit_head SET hash = 'x'", 5, Fault::Head),
        ("UPDATE audit_personal SET value = 'eve@example.com'", 2, Fault::Personal),
        ("UPDATE audit_entries SET version = 99 WHERE seq = 4", 4, Fault::Unknown),
    ];
    // What only whoever goes around the database's own checks can write.
    let unreadable = "PRAGMA ignore_check_constraints = on; UPDATE audit_entries SET details = 'none' WHERE seq = 4";
    let unreadable = [(unreadable, 4, Fault::Changed)];
    let cases = cases.iter().chain(if kind == Kind::Sqlite { unreadable.as_slice() } else { &[] });
    for (sql, seq, fault) in cases {
        let world = world(kind).await;
        world
            .meddle("DELETE FROM audit_personal WHERE entry_id IN (SELECT id FROM audit_entries WHERE seq <> 2)")
            .await;
        if sql.starts_with("DELETE FROM audit_entries") {
            world.meddle("DELETE FROM audit_personal").await;
        }
        world.meddle(sql).await;
        let broken = audit::verify(&world.store).await.unwrap().broken.unwrap_or_else(|| panic!("not found: {sql}"));
        assert_eq!((broken.seq, broken.fault), (*seq, *fault), "{sql}: {broken}");
    }
}

async fn checkpoints_outside_the_database_show_what_the_chain_alone_cannot(kind: Kind) {
    let world = world(kind).await;
    let (file, key) = (world.path("checkpoints"), keypair::generate("test").unwrap());
    let checkpoints = Checkpoints::new(file.clone(), key.clone());
    checkpoints.note(&world.store).await.unwrap();
    checkpoints.note(&world.store).await.unwrap();
    let read = || checkpoint::read(&file, &world.fleet, key.public_key());
    assert_eq!(read().unwrap().into_keys().collect::<Vec<_>>(), [5], "the same end is noted once");
    assert_eq!(audit::verify_against(&world.store, &read().unwrap()).await.unwrap().broken, None);

    // The tail is cut, and the recorded end with it: the chain alone is whole.
    world.meddle("DELETE FROM audit_entries WHERE seq > 3").await;
    world.meddle("UPDATE audit_head SET seq = 3, hash = (SELECT hash FROM audit_entries WHERE seq = 3)").await;
    assert_eq!(audit::verify(&world.store).await.unwrap().broken, None);
    let broken = audit::verify_against(&world.store, &read().unwrap()).await.unwrap().broken.unwrap();
    assert_eq!((broken.seq, broken.fault), (4, Fault::Cut));
    // And made anew.
    for n in 4..=6 {
        let append = world.store.write(move |tx| {
            Box::pin(async move { Entry::new("local:eve", "node.create", format!("nd_{n}")).append(tx).await })
        });
        append.await.unwrap();
    }
    audit::seal(&world.store).await.unwrap();
    assert_eq!(audit::verify(&world.store).await.unwrap().broken, None);
    let broken = audit::verify_against(&world.store, &read().unwrap()).await.unwrap().broken.unwrap();
    assert_eq!((broken.seq, broken.fault), (5, Fault::Checkpoint));

    // Such a log is not vouched for: cut and filled up again to the very same length, neither.
    let error = checkpoints.note(&world.store).await.unwrap_err();
    assert!(error.to_string().contains("has not the entry 5 that "), "{error}");
    let whole = std::fs::read_to_string(&file).unwrap();
    assert_eq!(read().unwrap().into_keys().collect::<Vec<_>>(), [5]);
    // Somebody had it signed all the same, from another file.
    let forged = world.path("forged");
    Checkpoints::new(forged.clone(), key.clone()).note(&world.store).await.unwrap();
    let other = std::fs::read_to_string(&forged).unwrap();
    std::fs::write(&file, format!("{whole}{}", other.replace("\"seq\":6", "\"seq\":5"))).unwrap();
    assert!(read().is_err(), "its signature is for another entry");

    // A line that was cut short swallows nothing.
    std::fs::write(&file, format!("{whole}{{\"fleet\":\n{whole}")).unwrap();
    assert_eq!(read().unwrap().into_keys().collect::<Vec<_>>(), [5]);
    std::fs::write(&file, whole.replace("\"seq\":5", "\"seq\":3")).unwrap();
    assert!(read().unwrap_err().to_string().contains("the checkpoint of entry 3 is not signed by this fleet"));
    let other = keypair::generate("test").unwrap();
    std::fs::write(&file, &whole).unwrap();
    assert!(checkpoint::read(&file, &world.fleet, other.public_key()).is_err());
}
