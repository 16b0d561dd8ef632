//! What the planner sees: a catalog built from a purpose, holding lawful tables and nothing else.
//!
//! The catalog cannot be added to. A name that is not one of its tables, a path for instance, resolves to nothing.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, SchemaProvider, Session, TableProvider,
};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use super::columns::Shape;
use super::place::Gate;
use super::scan::{LawfulScanExec, external};
use crate::distribution::{ForMany, LEAST_PARTITIONS};

/// The name of the one catalog and of its one schema.
pub(crate) const CATALOG: &str = "lawful";

/// A table of a session.
pub(crate) struct LawfulTable {
    /// `None` for checks: such a table has columns and no rows.
    gate: Option<Arc<Gate>>,
    shape: Arc<Shape>,
    schema: SchemaRef,
}

impl fmt::Debug for LawfulTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LawfulTable")
            .field("table", &self.shape.table)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for LawfulTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        // Neither is ever used: predicates and limits come after the gate.
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.shape.schema();
        let schema = match projection {
            Some(places) => Arc::new(schema.project(places)?),
            None => schema,
        };
        let Some(gate) = &self.gate else {
            return Ok(Arc::new(EmptyExec::new(schema)));
        };
        let gate = Arc::clone(gate);
        let shape = Arc::clone(&self.shape);
        let for_many = session.config().get_extension::<ForMany>().is_some();
        let least = if for_many { LEAST_PARTITIONS } else { 1 };
        let plan = move || LawfulScanExec::plan(gate, &shape, schema, least);
        let plan = tokio::task::spawn_blocking(plan)
            .await
            .map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?
            .map_err(external)?;
        #[cfg(test)]
        if let Some(gate) = &self.gate {
            return super::off::plan(gate, &self.shape, _filters, _limit, Arc::new(plan));
        }
        Ok(Arc::new(plan))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        #[cfg(test)]
        if self.gate.as_deref().is_some_and(super::off::takes_filters) {
            return Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()]);
        }
        Ok(vec![
            TableProviderFilterPushDown::Unsupported;
            filters.len()
        ])
    }
}

/// The tables of one session: catalog list, catalog and schema in one, all read-only.
#[derive(Debug, Clone)]
pub(crate) struct LawfulCatalogs {
    tables: Arc<Vec<(&'static str, Arc<LawfulTable>)>>,
}

impl LawfulCatalogs {
    /// The tables of these shapes behind this gate.
    pub(crate) fn new(gate: &Arc<Gate>, shapes: Vec<Shape>) -> Self {
        Self::of(Some(gate), shapes)
    }

    fn of(gate: Option<&Arc<Gate>>, shapes: Vec<Shape>) -> Self {
        let tables = shapes
            .into_iter()
            .map(|shape| {
                let schema = shape.schema();
                #[cfg(test)]
                let schema = match gate {
                    Some(gate) => super::off::schema(gate, schema),
                    None => schema,
                };
                let table = LawfulTable {
                    gate: gate.cloned(),
                    schema,
                    shape: Arc::new(shape),
                };
                (table.shape.table.as_str(), Arc::new(table))
            })
            .collect();
        Self {
            tables: Arc::new(tables),
        }
    }

    /// Every table with its columns, for the help of an error.
    pub(crate) fn described(&self) -> String {
        let tables: Vec<String> = self
            .tables
            .iter()
            .map(|(name, table)| format!("{name}({})", columns(&table.schema)))
            .collect();
        format!("allowed are {}", tables.join(", "))
    }
}

fn columns(schema: &Schema) -> String {
    schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// The same tables without a row, for checking a segment.
pub(crate) fn catalog_of_empty(shapes: Vec<Shape>) -> LawfulCatalogs {
    LawfulCatalogs::of(None, shapes)
}

impl CatalogProviderList for LawfulCatalogs {
    fn register_catalog(
        &self,
        _: String,
        _: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::new(self.clone()) as Arc<dyn CatalogProvider>)
    }
}

impl CatalogProvider for LawfulCatalogs {
    fn schema_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        (name == CATALOG).then(|| Arc::new(self.clone()) as Arc<dyn SchemaProvider>)
    }
}

#[async_trait]
impl SchemaProvider for LawfulCatalogs {
    fn table_names(&self) -> Vec<String> {
        self.tables
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self
            .tables
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, table)| Arc::clone(table) as Arc<dyn TableProvider>))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.iter().any(|(known, _)| *known == name)
    }
}
