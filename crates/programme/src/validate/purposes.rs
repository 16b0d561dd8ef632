//! Purposes: does the basis carry what is done, and has anybody been told?

use std::collections::BTreeSet;

use assent_consent::{ConsentForm, LegalBasis, NoticedPurpose, Purpose};

use super::{Check, listed};
use crate::definition::DefinitionKind;
use crate::fault::Fault;
use crate::fields::nearest;
use crate::names::is_direct_namespace;

pub(super) fn check(check: &mut Check<'_>) {
    let programme = check.programme;
    let categories = check.categories();
    for purpose in programme.purposes.values() {
        let mut one = One { check, purpose };
        one.itself();
        if let Some(known) = &categories {
            one.categories(known);
        }
        one.basis();
        one.form();
        one.parent();
        one.exports();
        one.told();
    }
}

/// One purpose under check.
struct One<'c, 'a> {
    check: &'c mut Check<'a>,
    purpose: &'a Purpose,
}

impl One<'_, '_> {
    fn add(&mut self, path: &[&str], message: impl Into<String>, fix: impl Into<String>) {
        let name = self.purpose.id.as_str();
        self.check
            .add(DefinitionKind::Purpose, name, path, message, fix);
    }

    /// As `add`, unless reading has found something on that line already: a value that could not be read
    /// looks like one that is missing.
    fn add_once(&mut self, path: &[&str], message: String, fix: String) {
        let name = self.purpose.id.as_str();
        let origins = &self.check.programme.origins;
        let fault = origins.fault(DefinitionKind::Purpose, name, path, message, fix);
        let same_line = |f: &Fault| f.file == fault.file && f.line == fault.line;
        if !self.check.faults[..self.check.found_reading]
            .iter()
            .any(same_line)
        {
            self.check.faults.push(fault);
        }
    }

    /// What the consent crate knows to be wrong without the rest of the programme.
    fn itself(&mut self) {
        for fault in self.purpose.faults() {
            // Problems of one category begin with its name; a citation is missed where the basis stands.
            let item = fault.problem.split(' ').next().unwrap_or_default();
            let path = if fault.field == "citation" {
                ["basis", ""]
            } else {
                [fault.field, item]
            };
            let message = format!("`{}`: {}", fault.field, fault.problem);
            self.add_once(&path, message, fault.fix.clone());
        }
    }

    /// A category that no data is of is a slip of the pen, or a purpose that would see nothing.
    fn categories(&mut self, known: &BTreeSet<String>) {
        let purpose = self.purpose;
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        for category in &purpose.categories {
            if known.contains(category.as_str()) {
                continue;
            }
            let fix = match nearest(category.as_str(), &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!(
                    "name one of {}, or declare a trait (traits.yaml) or sensitive property (sources.yaml) of it",
                    names.join(", ")
                ),
            };
            self.add(
                &["categories", category.as_str()],
                format!("no data is of the category {category}"),
                fix,
            );
        }
    }

    fn basis(&mut self) {
        let purpose = self.purpose;
        let enabled = self
            .check
            .programme
            .settings
            .enabled_bases
            .contains(&purpose.basis);
        let (cites, off) = match purpose.basis {
            LegalBasis::Emergency | LegalBasis::PublicInterestNews => (true, !enabled),
            LegalBasis::LegalDuty => (true, false),
            // The consent crate asks for the citation of 13(1)(7) itself.
            LegalBasis::Consent
            | LegalBasis::Contract
            | LegalBasis::PublicInformation
            | LegalBasis::OtherLaw => (false, false),
        };
        let article = purpose.basis.article();
        if cites && purpose.citation.is_none() {
            self.add(
                &["basis"],
                format!(
                    "{} needs the law it relies on (art. {article})",
                    purpose.basis
                ),
                "add `citation:` with the law and its article",
            );
        }
        if off {
            self.add(
                &["basis"],
                format!("{} is off by default (art. {article})", purpose.basis),
                format!(
                    "add `enabled_bases: [{}]` to settings.yaml, if that basis is really yours",
                    purpose.basis
                ),
            );
        }
        self.marketing();
    }

    fn marketing(&mut self) {
        let purpose = self.purpose;
        if !purpose.marketing {
            return;
        }
        match purpose.basis {
            // The consent crate refuses the contract itself; other_law cites what allows it.
            LegalBasis::Consent | LegalBasis::Contract | LegalBasis::OtherLaw => {}
            LegalBasis::LegalDuty
            | LegalBasis::Emergency
            | LegalBasis::PublicInterestNews
            | LegalBasis::PublicInformation => self.add(
                &["basis"],
                format!(
                    "marketing under {}: electronic marketing needs consent or a request whatever the \
                     basis (Advertising Law art. 43)",
                    purpose.basis
                ),
                "use consent, or remove `marketing: true` if the purpose reaches nobody",
            ),
        }
    }

    fn form(&mut self) {
        let purpose = self.purpose;
        for category in purpose.categories.difference(&purpose.sensitive) {
            if let Some(why) = self.check.why_sensitive(category) {
                self.add(
                    &["categories", category.as_str()],
                    format!("{category} is sensitive: {why}, but the purpose does not say so"),
                    format!("list {category} under `sensitive:`, too, or leave it out (art. 28)"),
                );
            }
        }
        let separate = match purpose.form {
            ConsentForm::Separate | ConsentForm::Written => true,
            // A purpose of form guardian is refused by the consent crate.
            ConsentForm::General | ConsentForm::Guardian => false,
        };
        if purpose.basis != LegalBasis::Consent || separate {
            return;
        }
        if !purpose.sensitive.is_empty() {
            self.add(
                &["sensitive"],
                "sensitive categories need separate consent (art. 29)",
                "write `form: separate`, or leave the sensitive categories out",
            );
        }
        if !purpose.recipients.is_empty() {
            self.add(
                &["recipients"],
                "providing data to another handler needs separate consent (art. 23)",
                "write `form: separate`",
            );
        }
    }

    fn parent(&mut self) {
        let purposes = &self.check.programme.purposes;
        let mut seen = BTreeSet::from([&self.purpose.id]);
        let mut next = self.purpose.parent.as_ref();
        while let Some(id) = next {
            let Some(parent) = purposes.get(id) else {
                if !self.check.unread.may_be(id) && self.purpose.parent.as_ref() == Some(id) {
                    let known = listed(purposes.keys().filter(|k| **k != self.purpose.id));
                    self.add(
                        &["parent"],
                        format!("the parent {id} is not defined"),
                        format!("name one of {known}, or leave `parent:` out"),
                    );
                }
                return;
            };
            if !seen.insert(id) {
                // A purpose that is its own parent is told by the consent crate.
                if *id == self.purpose.id && self.purpose.parent.as_ref() != Some(id) {
                    self.add(
                        &["parent"],
                        format!("following the parents of {id} leads back to it"),
                        "leave `parent:` out of one of them",
                    );
                }
                return;
            }
            next = parent.parent.as_ref();
        }
    }

    fn exports(&mut self) {
        for namespace in &self.purpose.export_namespaces {
            if is_direct_namespace(namespace.as_str()) {
                self.add(
                    &["export_namespaces", namespace.as_str()],
                    format!("exports may not carry {namespace}: it identifies people directly"),
                    "export a number of your own, such as customer_no; addresses are used at delivery only",
                );
            }
        }
    }

    /// Bases 2 to 7 remove consent, never notice (art. 17): whatever a purpose does stands in a notice.
    fn told(&mut self) {
        if self.check.unread.notices {
            return;
        }
        let purpose = self.purpose;
        let statements = self.check.statements(&purpose.id);
        if statements.is_empty() {
            self.add(
                &["id"],
                format!("no notice lists {}, so nobody has been told (art. 17)", purpose.id),
                "list it under `purposes:` of a notice; one with `exemption:` if a law allows silence",
            );
            return;
        }
        let none = |test: &dyn Fn(&NoticedPurpose) -> bool| !statements.iter().any(|s| test(s));
        let mut untold = Vec::new();
        for c in &purpose.categories {
            if none(&|s| s.categories.contains(c) || s.sensitive.contains_key(c)) {
                untold.push((
                    "categories",
                    c.as_str(),
                    "17(1)(2)",
                    "list it under `categories:`",
                ));
            }
        }
        for c in purpose.sensitive.intersection(&purpose.categories) {
            if none(&|s| s.sensitive.contains_key(c)) {
                let how = "state its necessity and impact under `sensitive:`";
                untold.push(("sensitive", c.as_str(), "30", how));
            }
        }
        for c in &purpose.channels {
            if none(&|s| s.channels.contains(c)) {
                untold.push((
                    "channels",
                    c.as_str(),
                    "17(1)(2)",
                    "list it under `channels:`",
                ));
            }
        }
        for r in &purpose.recipients {
            if none(&|s| s.recipients.contains_key(r)) {
                let how = "add name, contact, purpose, method and categories under `recipients:`";
                untold.push(("recipients", r.as_str(), "23", how));
            }
        }
        for (field, item, article, how) in untold {
            self.add(
                &[field, item],
                format!("no notice tells people of {item} under {field} (art. {article})"),
                format!(
                    "{how} of the purpose in a new version of its notice, or leave it out here"
                ),
            );
        }
        if purpose.personalises && none(&|s| s.personalises) {
            self.add(
                &["personalises"],
                "no notice tells people that this purpose personalises (art. 24)",
                "say `personalises: true` of the purpose in a new version of its notice",
            );
        }
    }
}
