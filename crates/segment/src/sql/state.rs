//! The engine's state for one session: everything it can do is put in by name.
//!
//! It is built without default features: no table functions, no file formats, no table factories, no function factory,
//! no information schema, no object stores, no disk. What is not registered cannot be reached by any text.

use std::sync::Arc;

use assent_consent::{Calendar, Timestamp};
use chrono::{DateTime, Utc};
use datafusion::catalog::CatalogProviderList;
use datafusion::execution::config::SessionConfig;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::object_store::{
    DefaultObjectStoreRegistry, ObjectStoreRegistry, ObjectStoreUrl,
};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionState, SessionStateDefaults};
use datafusion::logical_expr::execution_props::ExecutionProps;

use super::functions;
use crate::engine::Limits;
use crate::error::Error;
use crate::guards::{Guard, Guards};

/// The name of the one catalog and schema, as in the gate.
const CATALOG: &str = "lawful";

/// A state over these tables, evaluated at this instant.
///
/// # Errors
/// `Internal` when the engine cannot be built.
pub(crate) fn build(
    catalogs: Arc<dyn CatalogProviderList>,
    limits: &Limits,
    at: Timestamp,
    calendar: Calendar,
    guards: Guards,
) -> crate::error::Result<SessionState> {
    let config = SessionConfig::new()
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, CATALOG)
        .with_information_schema(!guards.stand(Guard::MetadataViews));
    let config = configured(config, limits, calendar);
    Ok(builder(config, limits, at, guards)?
        .with_catalog_list(catalogs)
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
        .build())
}

/// A state that runs a part of a plan: the same functions and settings over `config`, no tables and no planning.
///
/// # Errors
/// As [`build`].
pub(crate) fn of_worker(
    config: SessionConfig,
    limits: &Limits,
    at: Timestamp,
    calendar: Calendar,
) -> crate::error::Result<SessionStateBuilder> {
    let config = config.with_create_default_catalog_and_schema(false);
    let config = configured(config, limits, calendar);
    builder(config, limits, at, Guards::ALL)
}

fn builder(
    config: SessionConfig,
    limits: &Limits,
    at: Timestamp,
    guards: Guards,
) -> crate::error::Result<SessionStateBuilder> {
    let mut props = ExecutionProps::new();
    props.mark_start_execution(Arc::clone(config.options()));
    let start = instant(at)?;
    let props = props.with_query_execution_start_time(start);
    Ok(SessionStateBuilder::new()
        .with_session_id("lawful".to_owned())
        .with_config(config)
        .with_runtime_env(runtime(limits)?)
        .with_scalar_functions(functions::scalar(guards))
        .with_aggregate_functions(functions::aggregate())
        .with_window_functions(functions::window())
        .with_execution_props(props))
}

fn configured(config: SessionConfig, limits: &Limits, calendar: Calendar) -> SessionConfig {
    let mut config = config
        .with_collect_statistics(false)
        .with_target_partitions(limits.partitions.max(1));
    let options = config.options_mut();
    // Plain text in and out: a string view carries the whole buffer it points into.
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some(calendar.name().to_owned());
    options.explain.show_statistics = false;
    config
}

fn runtime(limits: &Limits) -> crate::error::Result<Arc<RuntimeEnv>> {
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(limits.memory_bytes)))
        // Rows in clear are never written to a temporary file.
        .with_disk_manager_builder(
            DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        )
        .with_object_store_registry(no_stores())
        .build_arc()
        .map_err(|_| Error::internal("engine", "the query engine cannot be built"))
}

/// There is no store to name, not even the local disk: profile files are read by the gate itself.
fn no_stores() -> Arc<DefaultObjectStoreRegistry> {
    let registry = DefaultObjectStoreRegistry::new();
    if let Err(error) = registry.deregister_store(ObjectStoreUrl::local_filesystem().as_ref()) {
        tracing::debug!(%error, "no local store was registered");
    }
    Arc::new(registry)
}

fn instant(at: Timestamp) -> crate::error::Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(at.micros())
        .ok_or_else(|| Error::internal("clock", "the evaluation time is out of range"))
}
