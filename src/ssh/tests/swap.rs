use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::Result;
use crate::node::{Paths, host_key as node_side};
use crate::ssh::host_key::{self, HostKeyHolder, HostKeyRecord};

/// What a store would keep.
struct Record(Mutex<(PublicKey, Option<PublicKey>)>);

#[async_trait]
impl HostKeyRecord for Record {
    async fn accepted(&self) -> Result<HostKeys> {
        let (current, pending) = self.0.lock().unwrap().clone();
        let mut keys = HostKeys::one(current);
        if let Some(pending) = pending {
            keys.push(pending);
        }
        Ok(keys)
    }

    async fn record_pending(&self, key: &PublicKey) -> Result<()> {
        let mut record = self.0.lock().unwrap();
        if record.0.key_data() != key.key_data() {
            record.1 = Some(key.clone());
        }
        Ok(())
    }

    async fn promote(&self, key: &PublicKey) -> Result<()> {
        *self.0.lock().unwrap() = (key.clone(), None);
        Ok(())
    }
}

/// The node's side on this machine's folder, as the node agent would do it.
struct Holder<'a>(&'a Machine);

#[async_trait]
impl HostKeyHolder for Holder<'_> {
    async fn prepare(&mut self) -> Result<String> {
        node_side::prepare(&Paths::new(self.0.dir.clone()))
    }

    async fn install(&mut self, public: &str) -> Result<()> {
        node_side::install(&Paths::new(self.0.dir.clone()), public)?;
        self.0.reload();
        Ok(())
    }
}

/// Comes as far as the given step, and no further.
async fn cut_after(machine: &Machine, record: &Record, step: u32) {
    let accepted = record.accepted().await.unwrap();
    machine.connect(accepted.clone()).await.unwrap();
    let mut node = Holder(machine);
    if step >= 1 {
        node.prepare().await.unwrap();
    }
    if step < 2 {
        return;
    }
    let key = host_key::prepare(record, &mut node).await.unwrap();
    if step >= 3 {
        host_key::install(&mut node, &key).await.unwrap();
    }
    if step >= 4 {
        let client = host_key::reconnect(&key, &accepted, |keys| machine.connect(keys)).await.unwrap();
        if step >= 5 {
            host_key::promote(record, &client, &key).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_crash_between_any_two_steps_loses_no_node() {
    for step in 0..=5 {
        let machine = Machine::on();
        let bootstrap = machine.host_key();
        let record = Record(Mutex::new((bootstrap.clone(), None)));
        cut_after(&machine, &record, step).await;
        // And once more cut at the same step, since a second crash is as likely as the first.
        cut_after(&machine, &record, step).await;

        machine.connect(record.accepted().await.unwrap()).await.unwrap();
        let client = host_key::swap(&record, Holder(&machine), |keys| machine.connect(keys)).await;
        let client = client.unwrap_or_else(|error| panic!("after step {step}: {error:?}"));
        let (current, pending) = record.0.lock().unwrap().clone();
        assert_eq!(current.key_data(), machine.host_key().key_data(), "after step {step}");
        assert_eq!(pending, None);
        assert_eq!(client.host_key().key_data(), current.key_data());
        assert_ne!(current.key_data(), bootstrap.key_data());
        assert_eq!(client.exec("echo well", "").await.unwrap().stdout, b"well\n");
        // The bootstrap key is good for nothing any more.
        let error = machine.connect(HostKeys::one(bootstrap)).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, ConnectError::WrongHostKey { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_man_in_the_middle_of_the_exchange_is_refused() {
    let mut machine = Machine::on();
    let record = Record(Mutex::new((machine.host_key(), None)));
    cut_after(&machine, &record, 3).await;
    let own = machine.host_key();
    machine.switch_off();
    machine.set_host_key(&keypair::generate("impostor").unwrap());
    machine.switch_on();
    let before = record.accepted().await.unwrap();
    let error = host_key::reconnect(&own, &before, |keys| machine.connect(keys)).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ConnectError::WrongHostKey { .. }), "{error}");
    let (_, pending) = record.0.lock().unwrap().clone();
    assert_eq!(pending.unwrap().key_data(), own.key_data(), "nothing was promoted");
}

#[tokio::test]
async fn whoever_holds_the_old_key_cannot_finish_the_exchange() {
    // user-data may be read by a workload, so the bootstrap key may be in other hands.
    let machine = Machine::on();
    let bootstrap = machine.host_key();
    let stolen = keypair::read_existing(&machine.host_key_file()).unwrap();
    let record = Record(Mutex::new((bootstrap.clone(), None)));
    cut_after(&machine, &record, 5).await;
    let mut impostor = Machine::new();
    impostor.set_host_key(&stolen);
    impostor.switch_on();
    let error = impostor.connect(record.accepted().await.unwrap()).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ConnectError::WrongHostKey { .. }), "{error}");
}
