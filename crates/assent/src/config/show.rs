//! The settings as people read them: the default file, and what is in force with who said it.

use serde_json::json;

use super::raw::{Origin, RawConfig, VERSION};
use super::settings::{Preset, SECTIONS, SETTINGS, Setting};
use super::value::Kind;

/// What stands for a secret.
const REDACTED: &str = "(set)";

/// The file that says what is the case without a file: everything in it is a comment but its version.
pub fn default_file() -> String {
    let mut text = String::from(
        "# The settings of Assent, each with its default. Take the leading `#` away to change one.\n\
         #\n\
         # A flag counts more than the environment, that more than this file, and this file more than the default. The\n\
         # environment variable of `port` in `[server]` is ASSENT_SERVER__PORT. Relative paths are relative to this\n\
         # file. Secrets never stand in here: a setting that ends in `_file` names the file that holds one, and the\n\
         # environment variable without `_FILE` holds one itself. `assent config show` tells what is in force and why.\n",
    );
    for section in SECTIONS {
        if !section.name.is_empty() {
            text.push('\n');
        }
        for line in section.about {
            text.push_str(&format!("# {line}\n"));
        }
        if !section.name.is_empty() {
            text.push_str(&format!("[{}]\n", section.name));
        }
        for setting in of(section.name) {
            text.push('\n');
            for line in setting.about {
                text.push_str(&format!("# {line}\n"));
            }
            text.push_str(&line(setting));
        }
    }
    text
}

fn of(section: &'static str) -> impl Iterator<Item = &'static Setting> {
    SETTINGS
        .iter()
        .filter(move |setting| setting.section() == section)
}

/// One setting as a line of the default file.
fn line(setting: &Setting) -> String {
    if setting.key == "version" {
        return format!("version = {VERSION}\n");
    }
    let (value, note) = match setting.preset {
        Preset::Is(text) => (shown(setting, text), ""),
        Preset::InDataDir(name) => (shown(setting, name), "  # in data_dir"),
        Preset::Unset(example) => (shown(setting, example), "  # an example; not set"),
    };
    format!("#{} = {value}{note}\n", setting.name_in_file())
}

fn shown(setting: &Setting, text: &str) -> String {
    setting
        .kind
        .parse(text)
        .map_or_else(|_| format!("{text:?}"), |value| value.to_string())
}

/// One setting that is in force.
pub struct Shown {
    /// Its name, as it stands in a file.
    pub key: String,
    /// What it holds, as TOML; `None` when it is not set.
    pub value: Option<String>,
    /// The same as JSON.
    pub json: serde_json::Value,
    /// Who said it.
    pub origin: Origin,
    /// Whether it must not stand in a file.
    pub redacted: bool,
}

/// Every setting, secrets redacted.
pub fn in_force(raw: &RawConfig) -> Vec<Shown> {
    SETTINGS
        .iter()
        .map(|setting| shown_one(raw, setting))
        .collect()
}

fn shown_one(raw: &RawConfig, setting: &Setting) -> Shown {
    let origin = raw.origin(setting.key);
    let given = setting.kind == Kind::Secret
        && raw
            .secret(setting.key)
            .is_some_and(|secret| secret.path().is_none());
    if given {
        return Shown {
            key: setting.key.to_owned(),
            value: Some(REDACTED.to_owned()),
            json: REDACTED.into(),
            origin,
            redacted: true,
        };
    }
    let value = raw.value(setting.key);
    Shown {
        key: match setting.section() {
            "" => setting.name_in_file(),
            section => format!("{section}.{}", setting.name_in_file()),
        },
        value: value.map(ToString::to_string),
        json: value.map_or(serde_json::Value::Null, |value| value.to_json()),
        origin,
        redacted: false,
    }
}

/// As JSON: an array of objects.
pub fn as_json(raw: &RawConfig) -> String {
    let settings: Vec<serde_json::Value> = in_force(raw)
        .into_iter()
        .map(|one| json!({ "key": one.key, "value": one.json, "origin": one.origin.to_string() }))
        .collect();
    format!("{:#}\n", serde_json::Value::Array(settings))
}

/// As a file that says the same, with who said it beside each.
pub fn as_toml(raw: &RawConfig) -> String {
    let mut text = String::new();
    for section in SECTIONS {
        if !section.name.is_empty() {
            text.push_str(&format!("\n[{}]\n", section.name));
        }
        for setting in of(section.name) {
            let one = shown_one(raw, setting);
            let name = one.key.rsplit('.').next().unwrap_or_default();
            let line = match one.value {
                Some(value) if !one.redacted => format!("{name} = {value}"),
                Some(_) => format!("# {name} is set"),
                None => format!("# {name} is not set"),
            };
            text.push_str(&format!("{line}  # {}\n", one.origin));
        }
    }
    text
}
