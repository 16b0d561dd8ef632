//! `sources.yaml`: who may write events.

use std::collections::BTreeMap;

use assent_consent::Namespace;

use crate::fields::{Field, Fields, Report};
use crate::names::{Handle, Sha256Hex};
use crate::source::{AccountTraits, SourceDefinition, SourceKind, SourceNamespaces};
use crate::yaml::Node;

const KEYS: &[&str] = &["sources"];
const SOURCE_KEYS: &[&str] = &[
    "id",
    "kind",
    "description",
    "write_key_sha256",
    "sample",
    "namespaces",
    "identifiers",
    "origins",
    "gpc_purposes",
    "consent_categories",
    "sensitive_properties",
    "account_traits",
];
const NAMESPACE_KEYS: &[&str] = &["user_id", "anonymous_id"];
const ACCOUNT_KEYS: &[&str] = &[
    "name",
    "industry",
    "size_band",
    "country",
    "role",
    "buying_role",
    "department",
];

pub(super) fn read(node: &Node, report: &mut Report<'_>) -> Vec<SourceDefinition> {
    let Some(fields) = Fields::of(node, "the list of sources", KEYS, report) else {
        return Vec::new();
    };
    let items = fields
        .required("sources", "add `sources:` with a list", report)
        .and_then(|f| f.list(report))
        .unwrap_or_default();
    let mut sources: Vec<SourceDefinition> = Vec::new();
    for item in items {
        let Some(source) = source(item, report) else {
            continue;
        };
        let place = item.node.place;
        if sources.iter().any(|s| s.id == source.id) {
            report.at(
                place,
                format!("the source {} stands twice", source.id),
                "keep one of them",
            );
        } else if let Some(other) = sources
            .iter()
            .find(|s| s.write_key_sha256 == source.write_key_sha256)
        {
            report.at(
                place,
                format!("{} and {} have the same write key", other.id, source.id),
                "give each source a key of its own, or nobody can tell who wrote",
            );
        } else {
            sources.push(source);
        }
    }
    sources
}

fn source(field: Field<'_>, report: &mut Report<'_>) -> Option<SourceDefinition> {
    let fields = Fields::of(field.node, "a source", SOURCE_KEYS, report)?;
    let id = fields
        .required("id", "add `id:` with the source's name", report)
        .and_then(|f| f.parsed::<Handle>(report));
    let kind = fields
        .required("kind", "add `kind:` with browser or server", report)
        .and_then(|f| kind(f, report));
    let key = fields
        .required(
            "write_key_sha256",
            "add `write_key_sha256:` with what `printf %s KEY | sha256sum` prints",
            report,
        )
        .and_then(|f| f.parsed::<Sha256Hex>(report));
    let namespaces = fields
        .required(
            "namespaces",
            "add `namespaces:` with `user_id` and `anonymous_id`",
            report,
        )
        .and_then(|f| namespaces(f, report));
    let source = SourceDefinition {
        description: fields
            .optional("description", report, Field::text)
            .unwrap_or_default(),
        sample: fields
            .optional("sample", report, Field::flag)
            .unwrap_or(false),
        identifiers: identifiers(&fields, report),
        origins: fields
            .optional("origins", report, origins)
            .unwrap_or_default(),
        gpc_purposes: fields
            .optional("gpc_purposes", report, Field::set)
            .unwrap_or_default(),
        consent_categories: fields
            .optional("consent_categories", report, |f, r| f.map(r, Field::parsed))
            .unwrap_or_default(),
        sensitive_properties: fields
            .optional("sensitive_properties", report, |f, r| {
                f.map(r, Field::parsed)
            })
            .unwrap_or_default(),
        account_traits: fields
            .optional("account_traits", report, account_traits)
            .unwrap_or_default(),
        id: id?.0,
        kind: kind?,
        write_key_sha256: key?.0,
        namespaces: namespaces?,
    };
    if source.kind == SourceKind::Server
        && let Some(origins) = fields.get("origins")
        && !source.origins.is_empty()
    {
        report.at(
            origins.node.place,
            "a server source lists web origins, so its secret key would live in pages",
            "remove `origins`, or make it a browser source with a key of its own",
        );
    }
    Some(source)
}

fn kind(field: Field<'_>, report: &mut Report<'_>) -> Option<SourceKind> {
    match field.text(report)?.as_str() {
        "browser" => Some(SourceKind::Browser),
        "server" => Some(SourceKind::Server),
        _ => {
            report.at(
                field.node.place,
                "`kind` is neither browser nor server",
                "write browser if anybody can read the key, server if only services of yours can",
            );
            None
        }
    }
}

fn namespaces(field: Field<'_>, report: &mut Report<'_>) -> Option<SourceNamespaces> {
    let fields = Fields::of(field.node, "namespaces", NAMESPACE_KEYS, report)?;
    let user_id = fields
        .required("user_id", "add `user_id:`, the namespace of userId", report)
        .and_then(|f| f.parsed::<Namespace>(report));
    let anonymous_id = fields
        .required(
            "anonymous_id",
            "add `anonymous_id:`, the namespace of anonymousId",
            report,
        )
        .and_then(|f| f.parsed::<Namespace>(report));
    let (user_id, anonymous_id) = (user_id?, anonymous_id?);
    if user_id == anonymous_id {
        report.at(
            field.node.place,
            "userId and anonymousId have the same namespace, so a cookie could pass for a member",
            "give each a namespace of its own",
        );
        return None;
    }
    Some(SourceNamespaces {
        user_id,
        anonymous_id,
    })
}

fn identifiers(fields: &Fields<'_>, report: &mut Report<'_>) -> BTreeMap<String, Namespace> {
    fields
        .optional("identifiers", report, |f, r| f.map(r, Field::parsed))
        .unwrap_or_default()
}

fn origins(field: Field<'_>, report: &mut Report<'_>) -> Option<Vec<String>> {
    let mut origins = Vec::new();
    for item in field.list(report)? {
        let Some(origin) = item.words(report) else {
            continue;
        };
        let host = origin
            .strip_prefix("https://")
            .or_else(|| origin.strip_prefix("http://"))
            .unwrap_or("");
        if host.is_empty() || host.contains(['/', '*', ' ']) {
            report.at(
                item.node.place,
                "this is no web origin",
                "write scheme and host, such as https://www.example.com, without path or wildcard",
            );
        } else {
            origins.push(origin);
        }
    }
    Some(origins)
}

fn account_traits(field: Field<'_>, report: &mut Report<'_>) -> Option<AccountTraits> {
    let fields = Fields::of(field.node, "account traits", ACCOUNT_KEYS, report)?;
    let standard = AccountTraits::default();
    let mut read = |key: &str, standard: String| {
        fields
            .optional(key, report, Field::words)
            .unwrap_or(standard)
    };
    Some(AccountTraits {
        name: read("name", standard.name),
        industry: read("industry", standard.industry),
        size_band: read("size_band", standard.size_band),
        country: read("country", standard.country),
        role: read("role", standard.role),
        buying_role: read("buying_role", standard.buying_role),
        department: read("department", standard.department),
    })
}
