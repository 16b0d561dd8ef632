//! The rendered text of a notice, and its hash: what a person was shown, to the byte (art. 17).
//!
//! The author's text comes first, then the facts as lists (NDSR art. 21), made from the same definition
//! that `evaluate` reads, so that what people are told and what is enforced cannot differ. The hash is
//! journalled with the notice and never made anew, so a later change of this rendering proves nothing false.

use std::fmt::Write;

use assent_consent::{Notice, NoticedPurpose, RecipientStatement};
use serde_json::Value;

use crate::canonical::{canonical_json, sha256_hex};

/// The words of the lists in one language.
struct Words {
    colon: &'static str,
    comma: &'static str,
    effective: &'static str,
    handler: &'static str,
    contact: &'static str,
    rights: &'static str,
    exemption: &'static str,
    purpose: &'static str,
    method: &'static str,
    categories: &'static str,
    sensitive: &'static str,
    necessity: &'static str,
    impact: &'static str,
    personalises: [&'static str; 3],
    channels: &'static str,
    recipient: &'static str,
    retention: &'static str,
}

const CHINESE: Words = Words {
    colon: "：",
    comma: "、",
    effective: "生效时间",
    handler: "个人信息处理者",
    contact: "联系方式",
    rights: "行使权利的方式和程序",
    exemption: "不予告知的法律依据",
    purpose: "处理目的",
    method: "处理方式",
    categories: "个人信息种类",
    sensitive: "敏感个人信息",
    necessity: "处理的必要性",
    impact: "对个人权益的影响",
    personalises: ["个性化", "是", "否"],
    channels: "联系渠道",
    recipient: "接收方",
    retention: "保存期限",
};

const ENGLISH: Words = Words {
    colon: ": ",
    comma: ", ",
    effective: "Effective from",
    handler: "Handler",
    contact: "Contact",
    rights: "How to exercise your rights",
    exemption: "Legal exemption from notice",
    purpose: "Purpose",
    method: "Method",
    categories: "Categories of personal information",
    sensitive: "Sensitive personal information",
    necessity: "Necessity",
    impact: "Impact on your rights and interests",
    personalises: ["Personalised", "yes", "no"],
    channels: "Channels",
    recipient: "Recipient",
    retention: "Retention",
};

/// The text shown in a language: the author's text, then the facts as lists. `None` if the notice has no
/// text in that language.
#[must_use]
pub fn render_notice(notice: &Notice, language: &str) -> Option<String> {
    let text = notice.texts.get(language)?;
    let words = if language.starts_with("zh") {
        &CHINESE
    } else {
        &ENGLISH
    };
    let mut out = Rendering {
        words,
        out: String::new(),
    };
    out.out.push_str(text.trim_end());
    out.out.push_str("\n\n");
    out.notice(notice);
    Some(out.out)
}

/// SHA-256 (lower-case hex) over the rendered texts of all languages: of the canonical JSON object that
/// holds each under its language tag.
#[must_use]
pub fn notice_sha256(notice: &Notice) -> String {
    let rendered = notice.texts.keys().filter_map(|language| {
        Some((
            language.clone(),
            Value::String(render_notice(notice, language)?),
        ))
    });
    let texts = Value::Object(rendered.collect());
    let text = canonical_json(&texts).expect("an object of texts holds no fraction");
    sha256_hex(text.as_bytes())
}

struct Rendering<'w> {
    words: &'w Words,
    out: String,
}

impl Rendering<'_> {
    fn notice(&mut self, notice: &Notice) {
        let words = self.words;
        let _ = writeln!(self.out, "[{}]", notice.reference());
        self.line(0, words.effective, &notice.effective_from.to_string());
        self.line(0, words.handler, &notice.handler.name);
        self.line(0, words.contact, &notice.handler.contact);
        self.line(0, words.rights, &notice.rights);
        if let Some(citation) = &notice.exemption {
            self.line(0, words.exemption, citation);
        }
        for (id, statement) in &notice.purposes {
            self.out.push('\n');
            self.line(0, words.purpose, id.as_str());
            self.purpose(statement);
        }
    }

    fn purpose(&mut self, statement: &NoticedPurpose) {
        let words = self.words;
        self.line(1, words.method, &statement.method);
        self.list(1, words.categories, statement.categories.iter());
        for (category, sensitive) in &statement.sensitive {
            self.line(1, words.sensitive, category.as_str());
            self.line(2, words.necessity, &sensitive.necessity);
            self.line(2, words.impact, &sensitive.impact);
        }
        let [label, yes, no] = words.personalises;
        self.line(1, label, if statement.personalises { yes } else { no });
        if !statement.channels.is_empty() {
            self.list(1, words.channels, statement.channels.iter());
        }
        for recipient in statement.recipients.values() {
            self.recipient(recipient);
        }
        self.line(1, words.retention, &statement.retention);
    }

    fn recipient(&mut self, recipient: &RecipientStatement) {
        let words = self.words;
        self.line(1, words.recipient, &recipient.name);
        self.line(2, words.contact, &recipient.contact);
        self.line(2, words.purpose, &recipient.purpose);
        self.line(2, words.method, &recipient.method);
        self.list(2, words.categories, recipient.categories.iter());
    }

    fn list<T: ToString>(&mut self, depth: usize, label: &str, items: impl Iterator<Item = T>) {
        let items: Vec<String> = items.map(|item| item.to_string()).collect();
        self.line(depth, label, &items.join(self.words.comma));
    }

    /// One fact; further lines of its text are indented below it.
    fn line(&mut self, depth: usize, label: &str, text: &str) {
        let indent = "  ".repeat(depth);
        let text = text.trim().replace('\n', &format!("\n{indent}  "));
        let _ = writeln!(self.out, "{indent}{label}{}{text}", self.words.colon);
    }
}
