//! A workspace's declaration.

use std::collections::{BTreeMap, BTreeSet};

use super::declare::Known;
use super::model::{Jump, Machine, ProviderKind, Tier, Workspace};
use super::name::{check_host, check_secret, check_user};
use super::{Field, MapReader};

/// The keys that tell how to reach a machine which people bring.
const MACHINE: [&str; 6] = ["host", "port", "user", "identity", "host_key", "jump"];

pub(super) fn read(
    slug: &str,
    field: Field<'_>,
    known: &Known<'_>,
    tiers: &BTreeMap<String, Tier>,
) -> Option<Workspace> {
    let mut map = field.mapping("a workspace")?;
    let tier = map.required("tier").and_then(|field| known.tier(field));
    let tier = tier.and_then(|name| tiers.get(&name));
    let own = map.optional("provider");
    let provider = match own {
        Some(field) => known.provider(field),
        None => tier.map(|tier| tier.provider.clone()),
    };
    let kind = provider.as_ref().and_then(|name| known.providers.get(name)).map(|provider| provider.kind);

    let vars = map.optional("vars").and_then(|field| field.json_object()).unwrap_or_default();
    let secrets = map.optional("secrets").and_then(read_secrets).unwrap_or_default();
    let machine = read_machine(&mut map, kind);
    if let (Some(field), Some(kind), Some(tier)) = (own, kind, tier) {
        check_fit(field, kind, tier);
    }
    map.finish();
    Some(Workspace {
        slug: slug.to_owned(),
        tier: tier?.name.clone(),
        provider: provider?,
        vars,
        secrets,
        machine: if kind == Some(ProviderKind::Ssh) { Some(machine?) } else { None },
    })
}

fn read_secrets(field: Field<'_>) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    field.list(|item| {
        let name = item.checked(check_secret)?;
        if !seen.insert(name) {
            item.error(format!("the secret {name} is named twice"));
            return None;
        }
        Some(name.to_owned())
    })
}

fn read_machine(map: &mut MapReader<'_>, kind: Option<ProviderKind>) -> Option<Machine> {
    if let Some(kind) = kind.filter(|kind| *kind != ProviderKind::Ssh) {
        for key in MACHINE {
            map.optional(key);
            if let Some(given) = map.key(key) {
                given.error_hint(
                    format!("{key:?} is for machines that people bring, and this workspace's provider is {kind}"),
                    "name a provider of the kind ssh, or remove this line",
                );
            }
        }
        return None;
    }
    let host = match kind {
        Some(_) => map.required("host"),
        None => map.optional("host"),
    };
    let host = host.and_then(|field| field.checked(check_host)).map(str::to_owned);
    let port = map.optional("port").and_then(read_port);
    let user = map.optional("user").and_then(|field| field.checked(check_user));
    let identity = map.optional("identity").and_then(|field| {
        // An operator's own key may lie anywhere on that operator's machine; it is no part of a revision.
        let text = field.name_text()?;
        if text.starts_with('/') { Some(text.into()) } else { field.inner_path().map(ToOwned::to_owned) }
    });
    let host_key = map.optional("host_key").and_then(read_host_key);
    let jump = map.optional("jump").and_then(|field| field.list(read_jump)).unwrap_or_default();
    Some(Machine {
        host: host?,
        port: port.unwrap_or(22),
        user: user.unwrap_or("root").to_owned(),
        identity,
        host_key,
        jump,
    })
}

fn read_jump(field: Field<'_>) -> Option<Jump> {
    let mut map = field.mapping("a machine on the way")?;
    let host = map.required("host").and_then(|field| field.checked(check_host)).map(str::to_owned);
    let port = map.optional("port").and_then(read_port);
    let user = map.required("user").and_then(|field| field.checked(check_user)).map(str::to_owned);
    let host_key = map.required("host_key").and_then(read_host_key);
    map.finish();
    Some(Jump { host: host?, port: port.unwrap_or(22), user: user?, host_key: host_key? })
}

fn read_port(field: Field<'_>) -> Option<u16> {
    field.number(1..=u64::from(u16::MAX)).and_then(|port| u16::try_from(port).ok())
}

fn read_host_key(field: Field<'_>) -> Option<String> {
    let text = field.str()?;
    let mut key = match ssh_key::PublicKey::from_openssh(text.trim()) {
        Ok(key) => key,
        Err(error) => {
            field.error_hint(
                format!("this is not an SSH public key: {error}"),
                "take one line of `ssh-keyscan HOST`, without the host's name, and compare it with the machine's console",
            );
            return None;
        }
    };
    key.set_comment("");
    match key.to_openssh() {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) => {
            field.error(format!("this SSH public key cannot be written back: {error}"));
            None
        }
    }
}

/// A workspace that names a provider of its own takes everything else from a tier that was made for another one.
fn check_fit(field: Field<'_>, kind: ProviderKind, tier: &Tier) {
    let missing = match (&tier.size, &tier.image) {
        _ if !kind.makes_machines() => return,
        (Some(_), Some(_)) => return,
        (None, Some(_)) => "size",
        (Some(_), None) => "image",
        (None, None) => "size and image",
    };
    field.error_hint(
        format!("a provider of the kind {kind} needs {missing}, which the tier {:?} does not have", tier.name),
        format!("give {missing} in the tier, or choose another tier"),
    );
}
