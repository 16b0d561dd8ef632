//! The golden table of doors: each statement, function, table function, setting, file format and view of the engine, and
//! what a lawful session says to it.
//!
//! It is made anew from the engine's own registries whenever it is checked, so whatever an upgrade adds stands in it, and
//! the check fails until somebody has read what it does. `ASSENT_GOLDEN=write` writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use datafusion::catalog::information_schema::INFORMATION_SCHEMA_TABLES;
use datafusion::common::config::ConfigOptions;
use datafusion::execution::{SessionState, SessionStateDefaults};

use super::statements::{KINDS, SAMPLES, kind};
use crate::LawfulSession;
use crate::running::opened;
use crate::tests::world::{World, world};

struct Doors<'a> {
    world: &'a World,
    session: LawfulSession,
    state: SessionState,
    lines: Vec<String>,
}

impl Doors<'_> {
    /// The code of the refusal, or `answered`.
    fn said(&self, sql: &str) -> &'static str {
        match self.world.runtime.block_on(self.session.query(sql)) {
            Ok(_) => "answered",
            Err(error) => error.code(),
        }
    }

    fn line(&mut self, door: &str, said: &str) {
        self.lines.push(format!("{door} | {said}"));
    }

    /// Whether a function can be called, by its name and its other names: it may want other arguments then, or a table
    /// to stand in.
    fn function(&mut self, kind: &str, name: &str, aliases: &[String], over: &str) {
        let state = &self.state;
        let registered = match kind {
            "scalar" => state.scalar_functions().contains_key(name),
            "aggregate" => state.aggregate_functions().contains_key(name),
            "window" => state.window_functions().contains_key(name),
            _ => false,
        };
        let called = |name: &str| self.said(&format!("SELECT \"{name}\"(){over}"));
        let mut said = called(name);
        for alias in aliases {
            let refused = called(alias) == "function_not_allowed";
            assert_eq!(refused, said == "function_not_allowed", "{alias} is {name}");
        }
        if registered {
            assert_ne!(said, "function_not_allowed", "{name}");
            said = "allowed";
        } else {
            assert_ne!(said, "answered", "{name}");
        }
        let mut names = aliases.to_vec();
        names.sort();
        names.insert(0, name.to_owned());
        self.line(&format!("{kind} {}", names.join(" = ")), said);
    }

    fn statements(&mut self) {
        let mut reached: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for sql in SAMPLES {
            // What cannot be read is refused as such.
            if let Some(kind) = kind(sql) {
                reached.entry(kind).or_default().insert(self.said(sql));
            } else {
                assert_eq!(self.said(sql), "syntax", "{sql}");
            }
        }
        for (kind, said) in &reached {
            let said: Vec<&str> = said.iter().copied().collect();
            self.line(&format!("statement {kind}"), &said.join(", "));
        }
        for kind in KINDS.iter().filter(|kind| !reached.contains_key(*kind)) {
            self.line(&format!("statement {kind}"), "no text found that makes one");
        }
    }

    fn functions(&mut self) {
        for function in SessionStateDefaults::default_scalar_functions() {
            self.function("scalar", function.name(), function.aliases(), "");
        }
        for function in SessionStateDefaults::default_higher_order_functions() {
            self.function("higher-order", function.name(), function.aliases(), "");
        }
        for function in SessionStateDefaults::default_aggregate_functions() {
            self.function("aggregate", function.name(), function.aliases(), "");
        }
        for function in SessionStateDefaults::default_window_functions() {
            self.function("window", function.name(), function.aliases(), " OVER ()");
        }
        for function in SessionStateDefaults::default_table_functions() {
            let said = self.said(&format!("SELECT * FROM {}(1, 2)", function.name()));
            self.line(&format!("table function {}", function.name()), said);
        }
        assert!(self.state.table_functions().is_empty());
        assert!(self.state.higher_order_functions().is_empty());
    }

    fn views(&mut self) {
        for view in INFORMATION_SCHEMA_TABLES {
            let said = self.said(&format!("SELECT * FROM information_schema.{view}"));
            self.line(&format!("view information_schema.{view}"), said);
        }
        for view in ["pg_catalog.pg_tables", "system.tables"] {
            let said = self.said(&format!("SELECT * FROM {view}"));
            self.line(&format!("view {view}"), said);
        }
    }

    fn formats(&mut self) {
        for format in SessionStateDefaults::default_file_formats() {
            let extension = format.get_ext();
            let known = self.state.get_file_format_factory(&extension).is_some();
            assert!(!known, "{extension} is not registered");
            let said = self.said(&format!("SELECT * FROM \"/x.{extension}\""));
            self.line(&format!("file format {extension}"), said);
        }
        for factory in SessionStateDefaults::default_table_factories().keys() {
            let said = self.said(&format!(
                "CREATE EXTERNAL TABLE t STORED AS {factory} LOCATION '/x'"
            ));
            self.line(&format!("table factory {factory}"), said);
        }
        assert!(self.state.table_factories().is_empty());
    }

    /// Each setting, and to what it is set where that is not the engine's default.
    fn settings(&mut self) {
        let values = |options: &ConfigOptions| -> BTreeMap<String, String> {
            options
                .entries()
                .into_iter()
                .map(|entry| (entry.key, entry.value.unwrap_or_default()))
                .collect()
        };
        let (defaults, ours) = (
            values(&ConfigOptions::new()),
            values(self.state.config_options()),
        );
        assert_eq!(
            defaults.keys().collect::<Vec<_>>(),
            ours.keys().collect::<Vec<_>>()
        );
        for (key, value) in &ours {
            let said = self.said(&format!("SET {key} = '{value}'"));
            // How many threads there are is no property of the engine.
            let set = if defaults[key] == *value && key != "datafusion.execution.target_partitions"
            {
                "default".to_owned()
            } else {
                format!("'{value}'")
            };
            self.line(&format!("setting {key} = {set}"), said);
        }
    }
}

#[test]
fn every_door_is_classified() {
    let world = world();
    let session = world.open("marketing");
    let (state, _) = opened(
        &Arc::new(session.gate.clone()),
        session.shapes.clone(),
        &session.engine.limits,
    )
    .expect("an engine");
    let mut doors = Doors {
        world,
        session,
        state,
        lines: Vec::new(),
    };
    doors.statements();
    doors.functions();
    doors.views();
    doors.formats();
    doors.settings();
    doors.lines.sort();
    let now = doors.lines.join("\n") + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/doors/doors.golden");
    if std::env::var_os("ASSENT_GOLDEN").is_some() {
        std::fs::write(path, now).expect("written");
        return;
    }
    let golden = include_str!("doors.golden");
    let (before, after): (BTreeSet<&str>, BTreeSet<&str>) =
        (golden.lines().collect(), now.lines().collect());
    let new: Vec<_> = after.difference(&before).collect();
    let gone: Vec<_> = before.difference(&after).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "read what is new, then write the golden table (ASSENT_GOLDEN=write)\nnew: {new:#?}\ngone: {gone:#?}"
    );
}

/// Only what changes nothing and shows only rows is answered.
#[test]
fn no_door_but_a_query_is_open() {
    for line in include_str!("doors.golden").lines() {
        let (door, said) = line.split_once(" | ").expect("a door and what is said");
        let open = said.contains("answered") || said == "allowed";
        let may_be = ["statement Query", "scalar ", "aggregate ", "window "];
        assert!(
            !open || may_be.iter().any(|door_that| door.starts_with(door_that)),
            "{line}"
        );
    }
}
