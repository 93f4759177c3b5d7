//! A tier's declaration.

use std::collections::BTreeSet;

use super::declare::Known;
use super::model::{HealthCheck, ImageRef, Price, ProviderKind, Size, Tier, Updates};
use super::{Field, FileSet};

pub(super) fn read(name: &str, field: Field<'_>, known: &Known<'_>) -> Option<Tier> {
    let mut map = field.mapping("a tier")?;
    let provider = map.required("provider").and_then(|field| known.provider(field));
    let kind = provider.as_ref().and_then(|name| known.providers.get(name)).map(|provider| provider.kind);

    let required = kind.is_some_and(ProviderKind::makes_machines);
    let mut take = |key| if required { map.required(key) } else { map.optional(key) };
    let (size, image) = (take("size"), take("image"));
    let (has_size, has_image) = (size.is_some(), image.is_some());
    let size = size.and_then(read_size);
    let image = image.and_then(|field| read_image(field, known.files));

    let vm = map.optional("vm");
    let vm_value = vm.and_then(|field| field.bool()).unwrap_or(false);
    if let (Some(field), true, Some(kind)) = (vm, vm_value, kind)
        && kind != ProviderKind::Local
    {
        field.error(format!("vm is for providers of the kind local, and this tier's is of the kind {kind}"));
    }
    let updates = map
        .optional("updates")
        .and_then(|field| field.one_of(&[("unattended", Updates::Unattended), ("rollout", Updates::Rollout)]));
    let playbooks = map.optional("playbooks").and_then(|field| read_playbooks(field, known.files));
    let price = map.optional("price").map(read_price);
    let health = map.optional("health").map(read_health);
    let vars = map.optional("vars").and_then(|field| field.json_object()).unwrap_or_default();
    map.finish();

    // What is there and wrong was reported; a tier without it would only lead to wrong messages about workspaces.
    if (has_size && size.is_none()) || (has_image && image.is_none()) {
        return None;
    }
    Some(Tier {
        name: name.to_owned(),
        provider: provider?,
        size,
        image,
        vm: vm_value,
        updates: updates.unwrap_or_default(),
        playbooks: playbooks.unwrap_or_default(),
        price: price.flatten(),
        health: health.flatten(),
        vars,
    })
}

fn read_health(field: Field<'_>) -> Option<HealthCheck> {
    let mut map = field.mapping("a health check")?;
    let port = map.required("port").and_then(|field| field.number(1..=65535)).and_then(|n| u16::try_from(n).ok());
    let path = map.optional("path").map_or(Some("/health".to_owned()), |field| {
        let path = field.string()?;
        if !path.starts_with('/') {
            field.error_hint(
                format!("the path {path:?} does not begin with /"),
                "write it as it stands in a request: /health",
            );
        }
        Some(path)
    });
    map.finish();
    Some(HealthCheck { port: port?, path: path? })
}

fn read_size(field: Field<'_>) -> Option<Size> {
    let mut map = field.mapping("a size")?;
    let vcpus = map.required("vcpus").and_then(|field| field.number(1..=512)).and_then(|n| u32::try_from(n).ok());
    let memory = map.required("memory").and_then(|field| field.parse());
    let disk = map.required("disk").and_then(|field| field.parse());
    map.finish();
    Some(Size { vcpus: vcpus?, memory: memory?, disk: disk? })
}

fn read_image(field: Field<'_>, files: &FileSet) -> Option<ImageRef> {
    let image: ImageRef = field.parse()?;
    if files.get(format!("images/{}/image.yaml", image.name)).is_some() {
        return Some(image);
    }
    report_missing(field, "image", &image.name, &format!("images/{}/image.yaml", image.name), files.images());
    None
}

fn read_playbooks(field: Field<'_>, files: &FileSet) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    field.list(|item| {
        let name = item.checked(super::name::check_label)?;
        let path = format!("playbooks/{name}.yaml");
        if files.get(&path).is_none() {
            report_missing(item, "playbook", name, &path, files.playbooks());
            return None;
        }
        if !seen.insert(name) {
            item.error(format!("the playbook {name:?} is named twice"));
            return None;
        }
        Some(name.to_owned())
    })
}

fn report_missing(
    field: Field<'_>,
    what: &str,
    name: &str,
    path: &str,
    known: impl IntoIterator<Item = impl AsRef<str>>,
) {
    let message = format!("unknown {what} {name:?}");
    match super::read::nearest(name, known) {
        Some(near) => field.error_hint(message, format!("did you mean {:?}?", near.as_ref())),
        None => field.error_hint(message, format!("write it as {path}")),
    }
}

fn read_price(field: Field<'_>) -> Option<Price> {
    let mut map = field.mapping("a price")?;
    let eur_month = map.required("eur_month").and_then(|field| field.parse_text());
    map.finish();
    Some(Price { eur_month: eur_month? })
}
