//! Reading a folder: which files it has, and one reader for each kind.
//!
//! Owns the layout of a programme's folder. A reader checks what one file shows; what only the whole
//! programme shows is left to `validate`.

mod notice;
mod purpose;
mod settings;
mod sources;
mod traits;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use assent_consent::{NoticeRef, PurposeId};

use crate::definition::DefinitionKind;
use crate::fault::Fault;
use crate::fields::Report;
use crate::programme::Programme;
use crate::segment_file::parse_placed;
use crate::yaml::{Document, Node};

/// The name of the one definition of a kind that a programme has once.
pub(crate) const SINGLE: &str = "programme";

/// What is there but could not be read, or not wholly. Whatever refers to it is not at fault for that.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    purposes: BTreeSet<String>,
    nameless_purposes: bool,
    /// Whether a notice could not be read.
    pub(crate) notices: bool,
}

impl Unread {
    /// Whether a purpose that could not be read, or not wholly, may be this one.
    pub(crate) fn may_be(&self, purpose: &PurposeId) -> bool {
        self.nameless_purposes || self.purposes.contains(purpose.as_str())
    }

    /// Whether a purpose could not be read.
    pub(crate) fn any_purpose(&self) -> bool {
        self.nameless_purposes || !self.purposes.is_empty()
    }

    fn purpose(&mut self, document: &Document) {
        match document.root.entry("id").and_then(Node::as_text) {
            Some(id) => {
                self.purposes.insert(id.to_owned());
            }
            None => self.nameless_purposes = true,
        }
    }
}

/// Reads every file of the folder, reporting what is wrong in each.
pub(crate) fn folder(dir: &Path, faults: &mut Vec<Fault>) -> (Programme, Unread) {
    let mut programme = Programme::default();
    let mut unread = Unread::default();
    if !dir.is_dir() {
        faults.push(whole_file(
            &dir.display().to_string(),
            "there is no such folder",
            "name the folder that holds `purposes`, `notices` and `segments`",
        ));
        return (programme, unread);
    }
    strangers(dir, faults);
    read_settings(dir, &mut programme, faults);
    read_purposes(dir, &mut programme, &mut unread, faults);
    read_notices(dir, &mut programme, &mut unread, faults);
    read_traits(dir, &mut programme, faults);
    read_sources(dir, &mut programme, faults);
    read_segments(dir, &mut programme, faults);
    (programme, unread)
}

/// Files that a programme has once, and folders of files; `imports` are mappings, which are read when they are used.
const FILES: [&str; 3] = ["settings.yaml", "sources.yaml", "traits.yaml"];
const FOLDERS: [&str; 4] = ["imports", "notices", "purposes", "segments"];

/// A definition under a wrong name would be read as one that is gone, and retired: so every folder and YAML file beside
/// those that are known is a fault. Other files and hidden ones may stand there.
fn strangers(dir: &Path, faults: &mut Vec<Fault>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return; // each reader says so
    };
    let mut entries: Vec<fs::DirEntry> = entries.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = Path::new(&name).extension().and_then(|e| e.to_str());
        let known: &[&str] = if entry.path().is_dir() {
            &FOLDERS
        } else if matches!(kind, Some("yaml" | "yml" | "sql")) {
            &FILES
        } else {
            continue;
        };
        if !name.starts_with('.') && !known.contains(&name.as_str()) {
            let message = "nothing of this name is read here; it has no effect";
            let fix = format!(
                "rename it to one of {}, or move it elsewhere",
                known.join(", ")
            );
            faults.push(whole_file(&name, message, &fix));
        }
    }
}

fn read_settings(dir: &Path, programme: &mut Programme, faults: &mut Vec<Fault>) {
    if let Some(document) = single(dir, "settings.yaml", faults) {
        let mut report = Report {
            file: &document.file,
            faults,
        };
        programme.settings = settings::read(&document.root, &mut report);
        programme
            .origins
            .remember(DefinitionKind::Settings, SINGLE.to_owned(), document);
    }
}

fn read_purposes(
    dir: &Path,
    programme: &mut Programme,
    unread: &mut Unread,
    faults: &mut Vec<Fault>,
) {
    let (documents, malformed) = documents(dir, "purposes", faults);
    unread.nameless_purposes = malformed;
    if documents.is_empty() && !malformed {
        faults.push(whole_file(
            "purposes",
            "the programme has no purposes",
            "add at least one file purposes/NAME.yaml",
        ));
    }
    for document in documents {
        let before = faults.len();
        let mut report = Report {
            file: &document.file,
            faults,
        };
        let purpose = purpose::read(&document.root, &mut report);
        if report.faults.len() > before {
            unread.purpose(&document);
        }
        let Some(purpose) = purpose else {
            continue;
        };
        let name = purpose.id.as_str().to_owned();
        if let Some(first) = programme.origins.file(DefinitionKind::Purpose, &name) {
            let place = document.place(&["id"]);
            report.at(
                place,
                format!("{name} is defined in {first}, too"),
                "keep one of them",
            );
            continue;
        }
        programme.purposes.insert(purpose.id.clone(), purpose);
        programme
            .origins
            .remember(DefinitionKind::Purpose, name, document);
    }
}

fn read_notices(
    dir: &Path,
    programme: &mut Programme,
    unread: &mut Unread,
    faults: &mut Vec<Fault>,
) {
    let (documents, malformed) = documents(dir, "notices", faults);
    unread.notices = malformed;
    for document in documents {
        let mut report = Report {
            file: &document.file,
            faults,
        };
        let Some(notice) = notice::read(&document.root, programme.settings.calendar, &mut report)
        else {
            unread.notices = true;
            continue;
        };
        for deficiency in notice.deficiencies() {
            let path: Vec<&str> = deficiency.field.split('.').collect();
            report.at(
                document.place(&path),
                format!(
                    "`{}` is missing or empty (art. {})",
                    deficiency.field, deficiency.article
                ),
                deficiency.fix,
            );
        }
        let reference: NoticeRef = notice.reference();
        let name = reference.to_string();
        if let Some(first) = programme.origins.file(DefinitionKind::Notice, &name) {
            let place = document.place(&["version"]);
            report.at(
                place,
                format!("{name} is defined in {first}, too"),
                "give the newer text the next version",
            );
            continue;
        }
        programme.notices.insert(reference, notice);
        programme
            .origins
            .remember(DefinitionKind::Notice, name, document);
    }
}

fn read_traits(dir: &Path, programme: &mut Programme, faults: &mut Vec<Fault>) {
    if let Some(document) = single(dir, "traits.yaml", faults) {
        let mut report = Report {
            file: &document.file,
            faults,
        };
        programme.traits = traits::read(&document.root, &mut report);
        programme
            .origins
            .remember(DefinitionKind::Traits, SINGLE.to_owned(), document);
    }
}

fn read_sources(dir: &Path, programme: &mut Programme, faults: &mut Vec<Fault>) {
    if let Some(document) = single(dir, "sources.yaml", faults) {
        let mut report = Report {
            file: &document.file,
            faults,
        };
        programme.sources = sources::read(&document.root, &mut report);
        programme.sources.sort_by(|a, b| a.id.cmp(&b.id));
        programme
            .origins
            .remember(DefinitionKind::Source, SINGLE.to_owned(), document);
    }
}

fn read_segments(dir: &Path, programme: &mut Programme, faults: &mut Vec<Fault>) {
    for (file, text) in files(dir, "segments", "sql", faults) {
        let (segment, places) = match parse_placed(&file, &text) {
            Ok(parsed) => parsed,
            Err(found) => {
                faults.extend(found);
                continue;
            }
        };
        if let Some(first) = programme
            .origins
            .file(DefinitionKind::Segment, &segment.name)
        {
            let message = format!("{} is defined in {first}, too", segment.name);
            faults.push(whole_file(&file, &message, "give it another name"));
            continue;
        }
        programme
            .origins
            .remember_segment(segment.name.clone(), file, places);
        programme.segments.push(segment);
    }
    programme.segments.sort_by(|a, b| a.name.cmp(&b.name));
}

fn whole_file(file: &str, message: &str, fix: &str) -> Fault {
    Fault {
        file: file.to_owned(),
        line: 0,
        column: 0,
        message: message.to_owned(),
        fix: fix.to_owned(),
    }
}

/// A file that a programme may have once, if it has it.
fn single(dir: &Path, name: &str, faults: &mut Vec<Fault>) -> Option<Document> {
    let path = dir.join(name);
    if !path.exists() {
        return None;
    }
    let text = text(&path, name, faults)?;
    Document::parse(name, &text)
        .map_err(|fault| faults.push(fault))
        .ok()
}

/// The YAML documents of a sub-folder, by file name, and whether a file was no YAML, which is a fault.
fn documents(dir: &Path, folder: &str, faults: &mut Vec<Fault>) -> (Vec<Document>, bool) {
    let mut documents = Vec::new();
    let mut malformed = false;
    for (file, text) in files(dir, folder, "yaml", faults) {
        match Document::parse(&file, &text) {
            Ok(document) => documents.push(document),
            Err(fault) => {
                malformed = true;
                faults.push(fault);
            }
        }
    }
    (documents, malformed)
}

/// Names (relative, with slashes) and texts of the files of a sub-folder, by name.
///
/// A file with another extension would be silently without effect, so it is a fault; only Markdown
/// and hidden files may stand beside definitions.
fn files(
    dir: &Path,
    folder: &str,
    extension: &str,
    faults: &mut Vec<Fault>,
) -> Vec<(String, String)> {
    let path = dir.join(folder);
    if !path.exists() {
        return Vec::new();
    }
    let entries = fs::read_dir(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            let message = format!("the folder cannot be read: {error}");
            faults.push(whole_file(
                folder,
                &message,
                "check that it is a folder and readable",
            ));
            return Vec::new();
        }
    };
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let file = format!("{folder}/{name}");
        let kind = Path::new(&name).extension().and_then(|e| e.to_str());
        if kind == Some(extension) {
            if let Some(text) = text(&entry.path(), &file, faults) {
                found.push((file, text));
            }
        } else if kind != Some("md") && !name.starts_with('.') {
            let message = format!("only .{extension} files are read here; this one has no effect");
            let fix = format!("rename it to end in .{extension}, or move it elsewhere");
            faults.push(whole_file(&file, &message, &fix));
        }
    }
    found
}

fn text(path: &Path, file: &str, faults: &mut Vec<Fault>) -> Option<String> {
    match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            let message = format!("the file cannot be read: {error}");
            faults.push(whole_file(
                file,
                &message,
                "check that it is a readable file in UTF-8",
            ));
            None
        }
    }
}
