//! The bill of materials in CycloneDX 1.6, as JSON (<https://cyclonedx.org/docs/1.6/json/>).

use serde_json::{Value, json};

use super::licence;
use super::sbom::{Subject, contact, time};
use super::{Package, purl};

/// The bill of materials of an image.
pub fn document(subject: &Subject<'_>) -> Value {
    let image = format!("urn:stead:image:{}:{}", subject.name, subject.key);
    let artefacts: Vec<_> = subject
        .artefacts
        .iter()
        .map(|(name, artefact)| {
            json!({
                "type": "file",
                "bom-ref": format!("{image}#{name}"),
                "name": name,
                "hashes": [{"alg": "SHA-256", "content": artefact.sha256}],
                "properties": [{"name": "stead:size", "value": artefact.size.to_string()}],
            })
        })
        .collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", subject.uuid("cyclonedx")),
        "version": 1,
        "metadata": {
            "timestamp": time(subject.created),
            "tools": {"components": [{"type": "application", "name": "stead", "version": crate::VERSION}]},
            "component": {
                "type": "operating-system",
                "bom-ref": image,
                "name": subject.name,
                "version": subject.key,
                "components": artefacts,
            },
        },
        "components": subject.packages.iter().map(|package| component(package, subject)).collect::<Vec<_>>(),
        // The list of packages is dpkg's own, so that it is whole. Who needs whom is not told.
        "compositions": [{"aggregate": "complete", "assemblies": [image]}],
    })
}

fn component(package: &Package, subject: &Subject<'_>) -> Value {
    let purl = purl::purl(package, subject.suite);
    let property = |name: &str, value: &str| json!({"name": format!("stead:{name}"), "value": value});
    let mut properties = vec![property("source", &package.source), property("source-version", &package.source_version)];
    if !package.section.is_empty() {
        properties.push(property("section", &package.section));
    }
    if let Some(size) = package.installed_size {
        properties.push(property("installed-size-kib", &size.to_string()));
    }
    let mut component = json!({
        // What CycloneDX wants where nobody says whether it is an application.
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "properties": properties,
    });
    let (name, address) = contact(&package.maintainer);
    if !name.is_empty() {
        component["supplier"] = json!({"name": name});
        if let Some(address) = address {
            component["supplier"]["contact"] = json!([{"email": address}]);
        }
    }
    let copyright = subject.copyrights.get(&package.name);
    if let Some(declared) = copyright.and_then(|text| licence::declared(&package.name, text)) {
        component["licenses"] = json!([{"expression": declared.expression, "acknowledgement": "declared"}]);
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::record::{sbom, to_text};

    /// The schemas that CycloneDX's names, from beside it.
    struct Vendored;

    impl jsonschema::Retrieve for Vendored {
        fn retrieve(&self, uri: &jsonschema::Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
            let text = match uri.as_str() {
                "http://cyclonedx.org/schema/spdx.schema.json" => {
                    include_str!("../../../tests/data/schemas/spdx.schema.json")
                }
                "http://cyclonedx.org/schema/jsf-0.82.schema.json" => {
                    include_str!("../../../tests/data/schemas/jsf-0.82.schema.json")
                }
                other => return Err(other.into()),
            };
            Ok(serde_json::from_str(text)?)
        }
    }

    #[test]
    fn valid_by_the_official_schema() {
        let schema = include_str!("../../../tests/data/schemas/bom-1.6.schema.json");
        let schema: Value = serde_json::from_str(schema).unwrap();
        let validator =
            jsonschema::options().with_retriever(Vendored).should_validate_formats(true).build(&schema).unwrap();
        sbom::tests::with_subject(&[], |subject| {
            let mut document = document(subject);
            let errors: Vec<_> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:#?}");
            document["components"][0]["type"] = "deb".into();
            assert!(!validator.is_valid(&document), "the schema judges");
        });
    }

    #[test]
    fn a_document() {
        sbom::tests::with_subject(&["libstdc++6", "tar"], |subject| {
            insta::assert_snapshot!(to_text(&document(subject)))
        });
    }
}
