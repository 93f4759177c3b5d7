//! `stead playbook test`: a playbook, proved on a fresh node.

use std::time::Instant;

use camino::Utf8PathBuf;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::converge::{self, variable};
use crate::cli::env::{Env, Held, Place};
use crate::cli::printer::{GOOD, table};
use crate::cli::progress::{Detail, Progress};
use crate::cli::publish::{publish, reconcile};
use crate::cli::work::Work;
use crate::fleet::FileSet;
use crate::fleet::files::File;
use crate::id::{FleetId, RevisionId};
use crate::provider::local;
use crate::redact::Secret;
use crate::secrets::operators::Operators;
use crate::secrets::vault::Vault;
use crate::store::{FleetLock, Workspace};
use crate::wire::plan::{Plan, TaskEvent};
use crate::workflow::flows::playbooks::Output;
use crate::workflow::flows::{Choice, Desired, deprovision, playbooks, provision};
use crate::{Error, Result, playbook};

/// The one workspace of a test's fleet.
const SLUG: &str = "test";
/// How much randomness a secret's value has, in bytes.
const RANDOM: usize = 24;

/// Converges a fresh local node with a playbook, twice, demands that the second time changes nothing, and runs the
/// playbook's `tests`
///
/// The node is made for the test and taken away after it. A playbook's `tests` are tasks like any other; those that
/// look (`assert`, `wait_for`, `command` with `changed_when: false`) are what belongs there: what still changes something
/// fails the test as well.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Playbooks, each tested on a node of its own
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// The image that the node is made from [default: that of the first tier that has the playbook, or of the first tier]
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
    /// A variable: JSON, or else text
    #[arg(short = 'e', long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    vars: Vec<(String, Value)>,
    /// Give the node a secret of this name, with a random value
    #[arg(long = "secret", value_name = "NAME")]
    secrets: Vec<String>,
    /// Leave the node of a test that failed as it is, to look at it
    #[arg(long)]
    keep: bool,
}

/// How a test ended.
#[derive(Debug, Serialize)]
struct Passed {
    playbook: String,
    /// What the first run changed.
    changed: u32,
    /// Tasks of the playbook's `tests`.
    tests: u32,
    seconds: f64,
}

/// Runs the command.
///
/// # Errors
/// Fails where a test does, with the first one's error.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    local::check_containers()?;
    let place = env.place()?;
    let mut passed = Vec::new();
    for name in &args.names {
        passed.push(one(args, env, &place, name).await.map_err(|error| error.context(format!("playbook {name:?}")))?);
    }
    let cells: Vec<Vec<String>> = passed
        .iter()
        .map(|row| {
            vec![row.playbook.clone(), row.changed.to_string(), row.tests.to_string(), format!("{:.1}", row.seconds)]
        })
        .collect();
    env.printer.say(format_args!("\n{GOOD}passed{GOOD:#}"));
    env.printer.data(&passed, table(&["PLAYBOOK", "CHANGED", "TESTS", "SECONDS"], &cells))
}

async fn one(args: &Args, env: &Env, place: &Place, name: &str) -> Result<Passed> {
    let begun = Instant::now();
    let vars: Map<String, Value> = args.vars.iter().cloned().collect();
    let choice = Choice { playbooks: vec![name.to_owned()], vars: vars.clone(), ..Choice::default() };
    let held = fleet(args, env, place, name).await?;
    // All of its mistakes, before a node is made for it.
    playbooks::plan(&held.place.desired, SLUG, &choice)?;
    let tests = playbook::compile_tests(&held.place.desired.files, name, plan_vars(&held, vars)?)?;
    let revision = publish(env, &held).await?.id;
    let workspace = reconcile(env, &held, &[SLUG.to_owned()], revision).await?.remove(0);
    let bench = Bench { env, held: &held, workspace: &workspace, revision };
    // What a test that was killed has left.
    bench.take_down().await?;
    let proved = bench.prove(&choice, tests).await;
    if proved.is_err() && args.keep {
        let dir = &held.place.dir;
        env.printer.say(format_args!("The node is left as it is: `stead --fleet {dir} status`, and `down` to end it."));
    } else {
        bench.take_down().await?;
        fs_err::remove_dir_all(&held.place.dir)?;
    }
    let (changed, tests) = proved?;
    Ok(Passed { playbook: name.to_owned(), changed, tests, seconds: begun.elapsed().as_secs_f64() })
}

/// A fleet of the test's own, below the fleet's state: its files, and one workspace.
async fn fleet(args: &Args, env: &Env, place: &Place, name: &str) -> Result<Held> {
    let dir = place.dir.join(".stead/tests").join(name);
    fs_err::create_dir_all(&dir)?;
    let lock = FleetLock::take(&dir.join(".stead"), "stead playbook test")?;
    env.keep(lock);
    let main = dir.join("stead.yaml");
    // A test that was killed has left a node, which goes by its fleet's id.
    let id = match fs_err::read_to_string(&main) {
        Ok(text) => text.split("id: ").nth(1).and_then(|rest| rest.split('}').next()?.parse::<FleetId>().ok()),
        Err(_) => None,
    };
    let id = id.unwrap_or_else(FleetId::mint);
    let tiers = &place.desired.fleet.tiers;
    let of_tier = tiers.values().find(|tier| tier.playbooks.iter().any(|playbook| playbook == name));
    let image = args.image.clone().or_else(|| {
        let tier = of_tier.into_iter().chain(tiers.values()).find_map(|tier| tier.image.as_ref());
        tier.map(|image| image.name.clone())
    });
    let yaml = format!(
        "fleet: {{name: test, id: {id}}}\nproviders:\n  local: {{kind: local}}\ntiers:\n  test:\n    provider: local\n    \
         size: {{vcpus: 1, memory: 1GiB, disk: 10GiB}}\n    image: {}\n    playbooks: []\nworkspaces:\n  {SLUG}: {{tier: test, \
         secrets: [{}]}}\n",
        image.as_deref().unwrap_or("agent-node"),
        args.secrets.join(", ")
    );
    fs_err::write(&main, &yaml)?;
    let files = &place.desired.files;
    let own = files.list("").filter_map(|path| Some((path.to_owned(), files.file(path)?.clone())));
    let content = File { content: yaml.into_bytes().into(), executable: false };
    let own = own.filter(|(path, _)| path != "stead.yaml").chain([(Utf8PathBuf::from("stead.yaml"), content)]);
    let desired = Desired::load(FileSet::with_shipped(own))?;
    let test = Place { dir, desired: desired.into() };
    let keys = env.platform(&test)?.keys;
    let mut operators = Operators::read(&test.dir)?;
    if operators.list().is_empty() {
        operators.add("test", &keys.operator().recipient())?;
    }
    for secret in &args.secrets {
        let mut random = [0; RANDOM];
        getrandom::fill(&mut random).map_err(|error| Error::failed(format!("no randomness: {error}")))?;
        Vault::open(&test.dir)?.put(SLUG, secret, &Secret::new(hex::encode(random).into_bytes()))?;
    }
    let store = env.store(&test).await?;
    Ok(Held { place: test, store })
}

/// The variables that every plan has, and the test's own.
fn plan_vars(held: &Held, vars: Map<String, Value>) -> Result<Map<String, Value>> {
    let mut all = playbooks::vars(&held.place.desired, SLUG)?;
    all.extend(vars);
    Ok(all)
}

/// A test's node.
struct Bench<'a> {
    env: &'a Env,
    held: &'a Held,
    workspace: &'a Workspace,
    revision: RevisionId,
}

impl Bench<'_> {
    fn work(&self, detail: Detail) -> Result<Work> {
        let progress = Progress::new(self.env.printer, self.env.global.no_progress);
        let progress = if detail == Detail::Steps { progress } else { progress.of_tasks(detail, false, 1, None) };
        Work::showing(self.env, self.held, progress)
    }

    /// Makes the node, and puts the playbook through its paces. Gives how many tasks changed something the first time, and
    /// how many of the playbook's tests were done.
    async fn prove(&self, choice: &Choice, tests: Plan) -> Result<(u32, u32)> {
        let work = self.work(Detail::Steps)?;
        let id = work.enqueue(provision::KIND, self.workspace, Some(self.revision)).await?;
        work.run(vec![(SLUG.to_owned(), id)]).await?;
        let work = self.work(Detail::Tasks)?;
        let first = self.converge(&work, choice).await?;
        self.unchanged(&self.converge(&work, choice).await?, "a second time")?;
        // What a check says is what is done: nothing, now.
        let plan = playbooks::plan(&self.held.place.desired, SLUG, choice)?;
        self.unchanged(&self.look(&work, plan, true).await?, "and a check says that something would change")?;
        let tested = self.look(&work, tests, false).await?;
        self.unchanged(&tested, "by its tests, which are there to look")?;
        work.progress.finish();
        Ok((first.summary.changed, tested.summary.unchanged + tested.summary.skipped))
    }

    async fn converge(&self, work: &Work, choice: &Choice) -> Result<Output> {
        converge::one(work, self.held, self.workspace, choice, self.revision).await
    }

    /// Runs a plan beside the workflows: nothing of it is to be made good after a crash.
    async fn look(&self, work: &Work, plan: Plan, check: bool) -> Result<Output> {
        let node = self.held.store.read().await?.node_of(self.workspace.id).await?;
        let node = node.ok_or_else(|| Error::failed("the test's node is gone"))?;
        let platform = self.env.platform(&self.held.place)?;
        let mut on_event = |event: TaskEvent| work.progress.task(SLUG, &event);
        playbooks::run_beside(&platform, &node, &self.held.place.desired.files, plan, check, &mut on_event).await
    }

    fn unchanged(&self, output: &Output, when: &str) -> Result<()> {
        match output.summary.changed {
            0 => Ok(()),
            changed => Err(Error::failed(format!("{changed} tasks changed something {when}")).hint(
                "a task that finds all as it should be changes nothing: look at `creates`, `unless`, `changed_when`",
            )),
        }
    }

    /// Takes the node away, where there is one.
    async fn take_down(&self) -> Result<()> {
        if self.held.store.read().await?.node_of(self.workspace.id).await?.is_none() {
            return Ok(());
        }
        // Work of its own: that of the test may have been stopped.
        let work = self.work(Detail::Steps)?;
        work.close_converge(self.workspace, "the test is over").await?;
        if let Some(live) = work.live(provision::KIND, self.workspace).await? {
            work.engine.turn_back(live.id, "the test is over").await?;
            work.engine.run(live.id).await?;
        }
        if self.held.store.read().await?.node_of(self.workspace.id).await?.is_none() {
            return Ok(());
        }
        let id = work.enqueue(deprovision::KIND, self.workspace, Some(self.revision)).await?;
        work.run(vec![(SLUG.to_owned(), id)]).await
    }
}
