//! What was said about each setting, by whom: defaults, then a file, then the environment, then flags. Nothing is
//! understood yet.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::secret::{Secret, SecretAt};
use super::settings::{FILE_SUFFIX, Preset, SECTIONS, SETTINGS, Setting, setting};
use super::value::{Kind, Value};

/// The version of the file's format.
pub const VERSION: u64 = 1;

/// Who said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody.
    Default,
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable of this name.
    Environment(String),
    /// A flag of this name.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "env {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Something wrong with what was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: String,
    /// What is wrong, and what to do.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Where settings come from.
#[derive(Default)]
pub struct Sources {
    /// The configuration file, if one was named.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// Flags: the setting, the flag, what was given.
    pub flags: Vec<(&'static str, &'static str, String)>,
    /// What a command takes for granted instead of a default: the setting and its value.
    pub presets: Vec<(&'static str, &'static str)>,
}

/// The settings as they were said.
#[derive(Clone, Default)]
pub struct RawConfig {
    values: BTreeMap<&'static str, (Value, Origin)>,
    /// Secrets given in the environment; the files of others stand among the values.
    secrets: BTreeMap<&'static str, (Secret, Origin)>,
}

impl RawConfig {
    /// Takes everything together: flags over environment over file over defaults.
    ///
    /// # Errors
    /// Every fault, with its place.
    pub fn layered(sources: &Sources) -> Result<Self, Vec<Fault>> {
        let mut raw = Self::default();
        let mut faults = Vec::new();
        if let Some(path) = &sources.file {
            match std::fs::read_to_string(path) {
                Ok(text) => raw.take_file(path, &text, &mut faults),
                Err(error) => faults.push(Fault {
                    place: path.display().to_string(),
                    what: error.to_string(),
                }),
            }
        }
        for (name, value) in &sources.environment {
            raw.take_variable(name, value, &mut faults);
        }
        for (key, flag, value) in &sources.flags {
            raw.take_plain(key, value, Origin::Flag(flag), &mut faults);
        }
        raw.fill_in(&sources.presets, &mut faults);
        if faults.is_empty() {
            Ok(raw)
        } else {
            Err(faults)
        }
    }

    /// What a setting holds; nothing when it has neither been said nor a default.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key).map(|(value, _)| value)
    }

    /// Where a secret is.
    pub fn secret(&self, key: &str) -> Option<SecretAt> {
        if let Some((secret, _)) = self.secrets.get(key) {
            return Some(SecretAt::Given(secret.clone()));
        }
        match self.value(key) {
            Some(Value::Path(path)) => Some(SecretAt::File(path.clone())),
            _ => None,
        }
    }

    /// Who said it last.
    pub fn origin(&self, key: &str) -> Origin {
        let secret = self.secrets.get(key).map(|(_, origin)| origin);
        let value = self.values.get(key).map(|(_, origin)| origin);
        secret.or(value).cloned().unwrap_or(Origin::Default)
    }

    fn take_file(&mut self, path: &Path, text: &str, faults: &mut Vec<Fault>) {
        let document = match DeTable::parse(text) {
            Ok(document) => document,
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                faults.push(Fault {
                    place: Reading { path, text }.place(at),
                    what: error.message().to_owned(),
                });
                return;
            }
        };
        let reading = Reading { path, text };
        let table = document.get_ref();
        let says_version = table.keys().any(|key| key.get_ref() == "version");
        if !says_version {
            faults.push(Fault {
                place: path.display().to_string(),
                what: format!("begin the file with `version = {VERSION}`"),
            });
        }
        self.take_table(&reading, "", table, faults);
    }

    fn take_table(
        &mut self,
        reading: &Reading<'_>,
        section: &str,
        table: &DeTable<'_>,
        faults: &mut Vec<Fault>,
    ) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let key = match section {
                "" => name.get_ref().to_string(),
                section => format!("{section}.{}", name.get_ref()),
            };
            match value.get_ref() {
                DeValue::Table(inner) if SECTIONS.iter().any(|section| section.name == key) => {
                    self.take_table(reading, &key, inner, faults);
                }
                _ => {
                    if let Err(what) = self.take_entry(reading, &key, name.span().start, value) {
                        let place = reading.place(name.span().start);
                        faults.push(Fault { place, what });
                    }
                }
            }
        }
    }

    fn take_entry(
        &mut self,
        reading: &Reading<'_>,
        key: &str,
        at: usize,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), String> {
        let (setting, kind) = in_a_file(key)?;
        let origin = Origin::File {
            path: reading.path.to_owned(),
            line: reading.line_and_column(at).0,
        };
        let beside = reading.path.parent().unwrap_or(Path::new(""));
        let value = kind
            .read(value.get_ref())
            .map_err(|expected| format!("{key}: {expected}"))?;
        self.values
            .insert(setting.key, (value.below(beside), origin));
        Ok(())
    }

    fn take_variable(&mut self, name: &str, value: &str, faults: &mut Vec<Fault>) {
        let Some(rest) = name.strip_prefix("ASSENT_") else {
            return;
        };
        let origin = Origin::Environment(name.to_owned());
        let key = rest.to_lowercase().replace("__", ".");
        match setting(&key) {
            // The format of a file, which the environment is not; others set ASSENT_VERSION for purposes of their own.
            Some(setting) if setting.key == "version" => {}
            Some(setting) if setting.kind == Kind::Secret => {
                let secret = (Secret::new(value.trim()), origin);
                self.secrets.insert(setting.key, secret);
            }
            Some(_) => self.take_plain(&key, value, origin, faults),
            None => match in_a_file(&key) {
                Ok((secret, _)) => self.take_plain(secret.key, value, origin, faults),
                // Two underscores are ours; anything else may be another program's, such as a link to a service.
                Err(what) if rest.contains("__") => faults.push(Fault {
                    place: origin.to_string(),
                    what,
                }),
                Err(_) => {}
            },
        }
    }

    fn take_plain(&mut self, key: &str, value: &str, origin: Origin, faults: &mut Vec<Fault>) {
        let Some(setting) = setting(key) else {
            faults.push(Fault {
                place: origin.to_string(),
                what: unknown(key),
            });
            return;
        };
        match setting.kind.parse(value) {
            Ok(value) => {
                self.values.insert(setting.key, (value, origin));
            }
            Err(expected) => faults.push(Fault {
                place: origin.to_string(),
                what: format!("{key}: {expected}"),
            }),
        }
    }

    /// Defaults for whatever nobody spoke of; those in the data directory once it is known.
    fn fill_in(&mut self, presets: &[(&'static str, &'static str)], faults: &mut Vec<Fault>) {
        let missing = |raw: &Self| -> Vec<&'static Setting> {
            SETTINGS
                .iter()
                .filter(|setting| !raw.values.contains_key(setting.key))
                .collect()
        };
        for setting in missing(self) {
            let preset = presets.iter().find(|(key, _)| *key == setting.key);
            let text = match setting.preset {
                Preset::Is(text) => Some(preset.map_or(text, |(_, text)| text)),
                Preset::InDataDir(_) | Preset::Unset(_) => None,
            };
            if let Some(text) = text {
                self.take_plain(setting.key, text, Origin::Default, faults);
            }
        }
        let Some(Value::Path(data_dir)) = self.value("data_dir").cloned() else {
            return;
        };
        for setting in missing(self) {
            if let Preset::InDataDir(name) = setting.preset {
                let value = Value::Path(data_dir.join(name));
                self.values.insert(setting.key, (value, Origin::Default));
            }
        }
    }
}

/// A file that is being read.
struct Reading<'f> {
    path: &'f Path,
    text: &'f str,
}

impl Reading<'_> {
    fn place(&self, at: usize) -> String {
        let (line, column) = self.line_and_column(at);
        format!("{}:{line}:{column}", self.path.display())
    }

    fn line_and_column(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let column = before.get(start..).unwrap_or("").chars().count() + 1;
        (line, column)
    }
}

/// The setting behind a name as it may stand in a file, and what is to stand there.
///
/// # Errors
/// What is wrong with the name.
fn in_a_file(key: &str) -> Result<(&'static Setting, Kind), String> {
    if let Some(of_secret) = key.strip_suffix(FILE_SUFFIX).and_then(setting)
        && of_secret.kind == Kind::Secret
    {
        return Ok((of_secret, Kind::Path));
    }
    match setting(key) {
        Some(secret) if secret.kind == Kind::Secret => Err(format!(
            "a secret does not stand in the configuration: put it in a file and name that with {key}{FILE_SUFFIX}, \
             or set {}",
            secret.variable()
        )),
        Some(setting) => Ok((setting, setting.kind)),
        None => Err(unknown(key)),
    }
}

fn unknown(key: &str) -> String {
    let known = SETTINGS
        .iter()
        .map(|setting| match setting.section() {
            "" => setting.name_in_file(),
            section => format!("{section}.{}", setting.name_in_file()),
        })
        .chain(SECTIONS.iter().map(|section| section.name.to_owned()));
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    // A slip of the pen in the name, or the right name in the wrong section.
    let distance = |candidate: &str| {
        let whole = strsim::damerau_levenshtein(key, candidate);
        let astray = strsim::damerau_levenshtein(&last(key), &last(candidate));
        whole.min(astray + 1)
    };
    let nearest = known
        .filter(|candidate| !candidate.is_empty())
        .map(|candidate| (distance(&candidate), candidate))
        .min();
    match nearest {
        Some((distance, candidate)) if distance <= (1 + key.len() / 5).max(2) => {
            format!("there is no setting `{key}`; did you mean `{candidate}`?")
        }
        _ => format!("there is no setting `{key}`; `assent config default` lists them all"),
    }
}
