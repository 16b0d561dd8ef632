//! A programme: everything a folder defines, read and checked as a whole.

use std::collections::BTreeMap;
use std::path::Path;

use assent_consent::{Notice, NoticeRef, Purpose, PurposeId};

use crate::fault::Fault;
use crate::origin::Origins;
use crate::segment::SegmentDefinition;
use crate::settings::Settings;
use crate::source::SourceDefinition;
use crate::traits::TraitCatalog;

/// What a folder defines. Purposes and segments carry version 1 here: they are counted when planned.
#[derive(Clone, Debug, Default)]
pub struct Programme {
    /// Purposes by id.
    pub purposes: BTreeMap<PurposeId, Purpose>,
    /// Notices by id and version.
    pub notices: BTreeMap<NoticeRef, Notice>,
    /// Segments, by name.
    pub segments: Vec<SegmentDefinition>,
    /// Sources, by id.
    pub sources: Vec<SourceDefinition>,
    /// The trait catalogue.
    pub traits: TraitCatalog,
    /// Settings.
    pub settings: Settings,
    /// Where each part was written.
    pub origins: Origins,
}

/// Reads and checks a programme's folder.
///
/// Read are `purposes/*.yaml`, `notices/*.yaml`, `segments/*.sql`, `traits.yaml`, `sources.yaml` and
/// `settings.yaml`; other files and folders are left to whoever owns them (imports, documentation).
///
/// # Errors
/// Every fault found, ordered by file and line; never only the first.
pub fn load(dir: &Path) -> Result<Programme, Vec<Fault>> {
    let mut faults = Vec::new();
    let (programme, unread) = crate::read::folder(dir, &mut faults);
    crate::validate::whole(&programme, &unread, &mut faults);
    if faults.is_empty() {
        Ok(programme)
    } else {
        faults.sort();
        faults.dedup();
        Err(faults)
    }
}
