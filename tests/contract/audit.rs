//! The audit log: whatever is done to it is found, and the first broken entry is named.

use stead::audit::{self, Entry, Fault};

use crate::{Kind, World, both};

both!(
    an_untouched_log_is_whole_and_goes_on,
    an_act_that_is_taken_back_leaves_no_entry,
    erasing_a_person_leaves_the_chain_whole,
    tampering_is_found_at_the_first_broken_entry,
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
