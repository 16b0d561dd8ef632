//! `in_segment('name')`: whether the row's member is in a segment that was run, without running it again.
//!
//! It asks about the column `member_id`, or about the one given as its second argument where that name is not enough. Whom
//! the segment holds is worked out before the query is planned; rows of others than the lawful do not get here, as to no
//! function.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::DataType;
use assent_consent::SubjectId;
use assent_permit::PermitSet;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Value, VisitMut, VisitorMut,
};
use roaring::RoaringBitmap;

use crate::error::{Error, Result};

/// The function's name.
pub(crate) const NAME: &str = "in_segment";

/// Gives the function its column where none is written, and tells which segments a query names.
///
/// # Errors
/// `Invalid` when the name is not a text that stands in the query.
pub(crate) fn named(statement: &mut Statement) -> Result<BTreeSet<String>> {
    let mut names = Names::default();
    if let Statement::Statement(inner) = statement
        && let ControlFlow::Break(error) = inner.visit(&mut names)
    {
        return Err(error);
    }
    Ok(names.0)
}

#[derive(Default)]
struct Names(BTreeSet<String>);

impl VisitorMut for Names {
    type Break = Error;

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<Error> {
        let Expr::Function(function) = expression else {
            return ControlFlow::Continue(());
        };
        // However it is written: quoted, or with a schema before it.
        let name = function.name.0.last().and_then(|part| part.as_ident());
        if !name.is_some_and(|name| name.value.eq_ignore_ascii_case(NAME)) {
            return ControlFlow::Continue(());
        }
        let FunctionArguments::List(list) = &mut function.args else {
            return ControlFlow::Break(misnamed());
        };
        let name = match list.args.first() {
            Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))) => {
                match &value.value {
                    Value::SingleQuotedString(name) => name.clone(),
                    _ => return ControlFlow::Break(misnamed()),
                }
            }
            Some(_) | None => return ControlFlow::Break(misnamed()),
        };
        if list.args.len() == 1 {
            let member = Expr::Identifier(Ident::new("member_id"));
            list.args
                .push(FunctionArg::Unnamed(FunctionArgExpr::Expr(member)));
        }
        self.0.insert(name);
        ControlFlow::Continue(())
    }
}

fn misnamed() -> Error {
    Error::invalid(
        "in_segment_name",
        "in_segment takes the name of a segment, written as a text",
    )
    .help("write in_segment('name'), or in_segment('name', m.member_id)")
}

/// Who is in the segments that a query names.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    pub(crate) members: BTreeMap<String, RoaringBitmap>,
    /// For the numbers of members; none where nobody is asked for.
    pub(crate) set: Option<Arc<PermitSet>>,
}

impl Segments {
    fn holds(&self, members: &RoaringBitmap, member: &str) -> bool {
        let subject: Option<SubjectId> = member.parse().ok();
        let number = subject.and_then(|one| self.set.as_ref()?.number_of(&one));
        number.is_some_and(|number| members.contains(number))
    }
}

/// The function, over these segments.
pub(crate) fn function(segments: Segments) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(InSegment {
        signature: Signature::exact(vec![DataType::Utf8, DataType::Utf8], Volatility::Stable),
        segments: Arc::new(segments),
    }))
}

struct InSegment {
    signature: Signature,
    segments: Arc<Segments>,
}

impl fmt::Debug for InSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

/// A session plans with one of them.
impl PartialEq for InSegment {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.segments, &other.segments)
    }
}

impl Eq for InSegment {}

impl Hash for InSegment {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.segments).hash(state);
    }
}

impl ScalarUDFImpl for InSegment {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(
        &self,
        args: ScalarFunctionArgs,
    ) -> datafusion::common::Result<ColumnarValue> {
        let members = match args.args.first() {
            Some(ColumnarValue::Scalar(ScalarValue::Utf8(Some(name)))) => {
                self.segments.members.get(name)
            }
            _ => None,
        };
        // A name that was not found in the query's text: nobody is to be told that nobody is in it.
        let members = members.ok_or_else(|| {
            DataFusionError::Internal("a segment is asked for that was not looked up".to_owned())
        })?;
        let holds = |member: &str| self.segments.holds(members, member);
        Ok(match args.args.get(1) {
            Some(ColumnarValue::Scalar(ScalarValue::Utf8(member))) => {
                ColumnarValue::Scalar(ScalarValue::Boolean(member.as_deref().map(holds)))
            }
            Some(ColumnarValue::Array(column)) => {
                let found: BooleanArray = match column.as_string_opt::<i32>() {
                    Some(ids) => ids.iter().map(|id| id.map(holds)).collect(),
                    None => BooleanArray::new_null(column.len()),
                };
                ColumnarValue::Array(Arc::new(found) as ArrayRef)
            }
            Some(ColumnarValue::Scalar(_)) | None => {
                ColumnarValue::Scalar(ScalarValue::Boolean(None))
            }
        })
    }
}
