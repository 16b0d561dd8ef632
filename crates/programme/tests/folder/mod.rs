//! A small programme without faults, to be spoilt one line at a time.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::path::Path;

use assent_programme::{Fault, Programme, load};
use tempfile::TempDir;

pub const EMAIL: &str = "purposes/email.yaml";
pub const SERVICE: &str = "purposes/service.yaml";
pub const SHARING: &str = "purposes/sharing.yaml";
pub const HEALTH: &str = "purposes/health.yaml";
pub const NOTICE: &str = "notices/terms.v1.yaml";
pub const NOTICE_2: &str = "notices/terms.v2.yaml";
pub const SEGMENT: &str = "segments/regulars.sql";
pub const SETTINGS: &str = "settings.yaml";
pub const SOURCES: &str = "sources.yaml";
pub const TRAITS: &str = "traits.yaml";

/// The files of the programme.
const FILES: &[(&str, &str)] = &[
    (
        SERVICE,
        "id: service
title: {en: Service}
basis: contract
categories: [transaction]
channels: [sms]
default_retention_days: 1095
",
    ),
    (
        EMAIL,
        "id: email
title: {en: Letters}
basis: consent
categories: [profile, transaction]
channels: [email]
marketing: true
default_retention_days: 730
export_namespaces: [customer_no]
",
    ),
    (
        SHARING,
        "id: sharing
title: {en: Sharing}
basis: consent
categories: [transaction]
shares: true
recipients: [ads]
form: separate
default_retention_days: 30
",
    ),
    (
        HEALTH,
        "id: advice
title: {en: Advice}
basis: consent
categories: [profile, health]
sensitive: [health]
personalises: true
form: separate
default_retention_days: 30
",
    ),
    (
        NOTICE,
        "id: terms
version: 1
change: material
effective_from: 2024-01-01
handler:
  name: A shop
  contact: privacy@shop.example
rights: Write to us.
purposes:
  service:
    method: Used to deliver.
    categories: [transaction]
    channels: [sms]
    retention: Three years.
  email:
    method: Sent by us.
    categories: [profile, transaction]
    channels: [email]
    retention: Two years.
  sharing:
    method: A list a day.
    categories: [transaction]
    recipients:
      ads:
        name: An advertiser
        contact: privacy@ads.example
        purpose: Showing advertisements.
        method: Matching numbers.
        categories: [transaction]
    retention: A month.
  advice:
    method: Chosen from a table.
    categories: [profile]
    sensitive:
      health:
        necessity: Nothing can be advised without it.
        impact: It could embarrass.
    personalises: true
    retention: A month.
texts:
  en: We tell you everything.
",
    ),
    (
        SEGMENT,
        "-- Regulars.
CREATE SEGMENT regulars
  FOR PURPOSE email CHANNEL email
  AS SELECT member_id FROM members
     WHERE purchases_total >= 3;
",
    ),
    (
        TRAITS,
        "identified:
  - name: city
    type: text
    category: profile
  - name: avoids_caffeine
    type: boolean
    category: health
    sensitive: true
derived:
  - name: purchases_total
    event: Order Completed
    measure: count
    category: transaction
  - name: revenue_90d
    event: Order Completed
    measure: {sum: revenue}
    window_days: 90
    category: transaction
",
    ),
    (
        SOURCES,
        "sources:
  - id: shop
    kind: server
    write_key_sha256: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'
    namespaces: {user_id: customer_no, anonymous_id: visitor}
    identifiers: {email: email}
    sensitive_properties: {concern: health}
  - id: pages
    kind: browser
    write_key_sha256: 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'
    namespaces: {user_id: customer_no, anonymous_id: visitor}
    origins: [https://shop.example]
    gpc_purposes: [sharing]
    consent_categories: {ads: sharing}
",
    ),
    (SETTINGS, "calendar: Asia/Shanghai\nk: 5\n"),
];

/// A folder with the programme in it.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (file, text) in FILES {
            folder.write(file, text);
        }
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path().join(file)).unwrap()
    }

    pub fn remove(&self, file: &str) {
        fs::remove_file(self.path().join(file)).unwrap();
    }

    /// Replaces the one occurrence of `from`.
    pub fn replace(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert_eq!(text.matches(from).count(), 1, "`{from}` in {file}");
        self.write(file, &text.replace(from, to));
    }

    /// Writes the second version of the notice: the first with these replacements.
    pub fn second_notice(&self, replacements: &[(&str, &str)]) {
        let mut text = self.read(NOTICE);
        let numbers = [
            ("version: 1", "version: 2"),
            ("effective_from: 2024-01-01", "effective_from: 2025-01-01"),
        ];
        for (from, to) in numbers.iter().chain(replacements) {
            assert_eq!(text.matches(from).count(), 1, "`{from}`");
            text = text.replace(from, to);
        }
        self.write(NOTICE_2, &text);
    }

    pub fn load(&self) -> Result<Programme, Vec<Fault>> {
        load(self.path())
    }

    pub fn programme(&self) -> Programme {
        self.load()
            .unwrap_or_else(|faults| panic!("{}", told(&faults).join("\n")))
    }
}

/// Faults as text, one line each.
pub fn told(faults: &[Fault]) -> Vec<String> {
    faults
        .iter()
        .map(|f| f.to_string().replace("\n  ", " | "))
        .collect()
}
