//! Queries that are allowed and try to see the denied all the same: through predicates, errors, aggregates, limits,
//! statistics and the bytes of a result.

use std::sync::Arc;

use crate::format::{Format, encode};
use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, DictionaryArray, RecordBatch, StringArray,
};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int32Type};
use assent_projection::{Snapshot, Table};
use datafusion::prelude::SessionContext;

use super::oracle::{self, answer, bare, denied, filtered, lawful, leak, ungated};
use super::world::{Person, World, world};

/// Each of these shows a denied person as soon as the gate is gone.
const REVEALING: &[(&str, &str)] = &[
    ("a plain select", "SELECT city FROM members"),
    ("every column", "SELECT * FROM members"),
    ("events", "SELECT product, revenue FROM events"),
    (
        "a sub-query",
        "SELECT city FROM members WHERE member_id IN (SELECT member_id FROM events)",
    ),
    (
        "NOT EXISTS",
        "SELECT city FROM members m WHERE NOT EXISTS \
         (SELECT 1 FROM events e WHERE e.member_id = m.member_id AND e.name = 'nothing')",
    ),
    (
        "CASE",
        "SELECT CASE WHEN note LIKE 'P%' THEN note ELSE 'x' END FROM members",
    ),
    (
        "a join",
        "SELECT m.city, e.product FROM members m JOIN events e ON m.member_id = e.member_id",
    ),
    (
        "a full join",
        "SELECT m.city, e.product FROM members m FULL JOIN events e ON m.member_id = e.member_id",
    ),
    (
        "an anti-join",
        "SELECT city FROM members EXCEPT SELECT product FROM events",
    ),
    (
        "a window",
        "SELECT lag(city) OVER (ORDER BY city), first_value(note) OVER (ORDER BY note DESC) FROM members",
    ),
    ("a limit", "SELECT city FROM members LIMIT 40"),
    ("a top", "SELECT ltv FROM members ORDER BY ltv DESC LIMIT 1"),
    (
        "a minimum",
        "SELECT min(city) FROM members WHERE city > 'P000X-city'",
    ),
    ("a maximum", "SELECT max(ltv) FROM members"),
    (
        "a union",
        "SELECT city FROM members UNION ALL SELECT product FROM events",
    ),
    (
        "an aggregate of texts",
        "SELECT string_agg(city, ',') FROM members",
    ),
    ("an array", "SELECT array_agg(product) FROM events"),
    (
        "a correlated sub-query",
        "SELECT (SELECT max(b.city) FROM members b WHERE b.note = a.note) FROM members a",
    ),
    (
        "a common table expression",
        "WITH m AS (SELECT note FROM members) SELECT * FROM m a, m b WHERE a.note = b.note",
    ),
    (
        "a grouping",
        "SELECT city, count(*) FROM members GROUP BY ROLLUP (city)",
    ),
];

#[test]
fn no_query_shows_the_denied() {
    let world = world();
    let lawful = lawful(world, "marketing");
    let denied = denied(world, &lawful);
    assert!(denied.len() > 10 && lawful.len() > 10);
    let raw = ungated(world);
    for (name, sql) in REVEALING {
        let control = answer(world, &raw, sql).expect("control");
        assert!(leak(&control, &denied).is_some(), "control of {name}");
        let result = world.ask("marketing", sql).expect(name);
        assert!(result.rows > 0, "{name} answers something");
        let seen = String::from_utf8(result.encode(Format::Json).expect("json")).expect("utf-8");
        assert_eq!(leak(&seen, &denied), None, "{name}");
    }
}

#[test]
fn counts_are_of_the_permitted() {
    let world = world();
    let filtered = filtered(world, "marketing");
    let raw = ungated(world);
    for sql in [
        "SELECT count(*) AS n FROM members",
        "SELECT count(*) AS n FROM events",
        "SELECT count(DISTINCT city) AS n FROM members",
        "SELECT count(*) AS n, min(ltv) AS a, max(ltv) AS b FROM members",
    ] {
        let expected = answer(world, &filtered, sql).expect("oracle");
        assert_ne!(
            expected,
            answer(world, &raw, sql).expect("control"),
            "{sql}"
        );
        let result = world.ask("marketing", sql).expect(sql);
        let seen = String::from_utf8(result.encode(Format::Ndjson).expect("json")).expect("utf-8");
        assert_eq!(seen, expected, "{sql}");
    }
}

/// A consent filter as others write it: a view over the raw table. The control of the attacks by error.
fn behind_a_view(world: &World) -> SessionContext {
    let raw = ungated(world);
    let permitted: Vec<String> = lawful(world, "marketing")
        .keys()
        .map(|who| format!("'{}-city'", Person::canary(*who)))
        .collect();
    let view = format!(
        "CREATE VIEW consented AS SELECT * FROM members WHERE city IN ({})",
        permitted.join(", ")
    );
    answer(world, &raw, &view).expect("a view");
    raw
}

#[test]
fn a_cast_error_tells_nothing() {
    let world = world();
    let denied = denied(world, &lawful(world, "marketing"));
    let sql = |table: &str| {
        format!(
            "SELECT count(*) FROM {table} WHERE cast(CASE WHEN note LIKE 'P%' THEN note ELSE '1' END AS int) = 1"
        )
    };
    let control = answer(world, &behind_a_view(world), &sql("consented")).expect_err("control");
    assert!(leak(&control, &denied).is_some(), "control: {control}");
    let result = world
        .ask("marketing", &sql("members"))
        .expect("no cast fails");
    assert_eq!(result.rows, 1);
}

#[test]
fn a_division_is_no_oracle() {
    let world = world();
    // Person 7 decided nothing; whoever sees the division fail knows the number.
    let number = Person::number(7);
    let sql = |table: &str| {
        format!(
            "SELECT count(*) FROM {table} WHERE 10 / (cast(ltv AS bigint) - {number}::bigint) < 100"
        )
    };
    let control = answer(world, &behind_a_view(world), &sql("consented")).expect_err("control");
    assert!(
        control.to_lowercase().contains("divide by zero"),
        "{control}"
    );
    world
        .ask("marketing", &sql("members"))
        .expect("no division fails");
}

#[test]
fn errors_about_the_permitted_hold_no_value_either() {
    let world = world();
    let raw = ungated(world);
    for (sql, code) in [
        ("SELECT cast(city AS int) FROM members", "cast_failed"),
        ("SELECT cast(city AS timestamp) FROM members", "cast_failed"),
        (
            "SELECT 1 / (purchases_total - purchases_total) FROM members",
            "division_by_zero",
        ),
        (
            "SELECT (SELECT city FROM members) FROM events",
            "query_failed",
        ),
        (
            "SELECT cast(city AS timestamp with time zone) FROM members",
            "cast_failed",
        ),
        (
            "SELECT make_date(1, cast(ltv AS bigint), 3) FROM members",
            "query_failed",
        ),
    ] {
        let control = answer(world, &raw, sql).expect_err("control");
        let error = world.ask("marketing", sql).expect_err(sql);
        assert_eq!(error.code(), code, "{sql}: {error}; plain: {control}");
        let text = format!("{error} {error:?}");
        for who in 0..super::world::PEOPLE {
            assert_eq!(leak(&text, &[who]), None, "{sql}");
        }
    }
    let control =
        answer(world, &raw, "SELECT cast(city AS int) FROM members").expect_err("control");
    assert!(
        leak(&control, &(0..59).collect::<Vec<_>>()).is_some(),
        "control: {control}"
    );
}

/// With pruning, whether a query fails tells whether the denied maximum lies above a bound.
#[test]
fn pruning_is_no_oracle() {
    let world = world();
    let snapshot = Snapshot::latest(&world.house.profiles())
        .expect("a snapshot")
        .expect("a manifest");
    // The greatest number belongs to a denied person.
    let greatest = Person::number(super::world::PEOPLE - 1);
    let file = snapshot
        .files(Table::Members)
        .iter()
        .map(|file| world.house.profiles().join(&file.path))
        .find(|path| {
            let context = bare();
            world
                .runtime
                .block_on(context.register_parquet(
                    "t",
                    path.to_str().expect("utf-8"),
                    Default::default(),
                ))
                .expect("registered");
            answer(
                world,
                &context,
                &format!("SELECT 1 FROM t WHERE ltv = {greatest}"),
            )
            .expect("read")
            .contains('1')
        })
        .expect("the file of the last person");
    let context = bare();
    world
        .runtime
        .block_on(context.register_parquet("t", file.to_str().expect("utf-8"), Default::default()))
        .expect("registered");
    let sql = |table: &str, bound: f64| {
        format!("SELECT count(*) FROM {table} WHERE cast(note AS int) = 1 AND ltv > {bound}")
    };
    answer(world, &context, &sql("t", greatest - 0.5)).expect_err("control: below");
    answer(world, &context, &sql("t", greatest + 0.5)).expect("control: above");
    for bound in [greatest - 0.5, greatest + 0.5] {
        world
            .ask("marketing", &sql("members", bound))
            .expect("the same either way");
    }
}

#[test]
fn a_dictionary_is_never_cast_whole() {
    let world = world();
    let denied = denied(world, &lawful(world, "marketing"));
    // Control: a gate that keeps dictionaries hands the denied on in the values.
    let notes =
        StringArray::from_iter_values(world.people.iter().map(|person| person.note.clone()));
    let plain: ArrayRef = Arc::new(notes.clone());
    let dictionary = cast(
        &plain,
        &DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
    )
    .expect("a dictionary");
    let readable: arrow::array::BooleanArray =
        notes.iter().map(|note| Some(note == Some("1"))).collect();
    let batch = RecordBatch::try_from_iter(vec![("note", dictionary)]).expect("a batch");
    let kept = filter_record_batch(&batch, &readable).expect("filtered");
    let column: &DictionaryArray<Int32Type> = kept.column(0).as_dictionary();
    let values: Vec<&str> = column
        .values()
        .as_string::<i32>()
        .iter()
        .flatten()
        .collect();
    assert!(leak(&values.join(" "), &denied).is_some(), "control");
    // Ours: plain text, whatever the query asks for.
    let session = world.open("marketing");
    for column in session.columns() {
        assert!(
            ["text", "double", "bigint", "boolean", "date", "timestamp"]
                .contains(&column.data_type),
            "{}.{}",
            column.table,
            column.name
        );
    }
    let refused = world
        .ask(
            "marketing",
            "SELECT arrow_cast(note, 'Dictionary(Int32, Utf8)') FROM members",
        )
        .expect_err("no physical types");
    assert_eq!(refused.code(), "function_not_allowed");
}

/// Every byte that a result holds, whether a value points to it or not.
fn bytes_of(batches: &[RecordBatch]) -> Vec<u8> {
    fn add(data: &ArrayData, bytes: &mut Vec<u8>) {
        for buffer in data.buffers() {
            bytes.extend_from_slice(buffer.as_slice());
            bytes.push(b'|');
        }
        for child in data.child_data() {
            add(child, bytes);
        }
    }
    let mut bytes = Vec::new();
    for column in batches.iter().flat_map(|batch| batch.columns()) {
        add(&column.to_data(), &mut bytes);
    }
    bytes
}

/// In a row group the denied have rows, too; where a batch of an answer ends must not tell of them.
#[test]
fn where_batches_are_cut_tells_of_nobody() {
    let world = world();
    let snapshot = Snapshot::latest(&world.house.profiles());
    let snapshot = snapshot.expect("profiles").expect("a manifest");
    for (table, sql) in [
        (Table::Members, "SELECT * FROM members"),
        (Table::Events, "SELECT event_id FROM events"),
    ] {
        assert!(
            snapshot.files(table).len() > 1,
            "the control: each ends a batch"
        );
        let result = world.ask("marketing", sql).expect(sql);
        let sizes: Vec<usize> = result.batches.iter().map(RecordBatch::num_rows).collect();
        assert_eq!(sizes, [result.rows], "{sql}");
    }
}

#[test]
fn no_denied_byte_travels_under_the_surface() {
    let world = world();
    let lawful = lawful(world, "marketing");
    let denied = denied(world, &lawful);
    // Masked cells, too: those who granted without transactions show no product.
    let masked: Vec<String> = lawful
        .iter()
        .filter(|(_, categories)| !categories.contains(&oracle::category("transaction")))
        .map(|(who, _)| format!("{}-product", Person::canary(*who)))
        .collect();
    assert!(!masked.is_empty());
    for sql in [
        "SELECT * FROM members",
        "SELECT * FROM events",
        "SELECT product FROM events LIMIT 3",
    ] {
        let result = world.ask("marketing", sql).expect(sql);
        let arrow = result.encode(Format::Arrow).expect("arrow");
        for bytes in [bytes_of(&result.batches), arrow] {
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(leak(&text, &denied), None, "{sql}");
            for canary in &masked {
                assert!(!text.contains(canary.as_str()), "{sql}: {canary}");
            }
        }
    }
    // Control: a mask that only sets the null bits, and a view of a slice, keep the bytes.
    let raw = ungated(world);
    let all = world
        .runtime
        .block_on(async {
            raw.sql("SELECT * FROM members")
                .await
                .expect("sql")
                .collect()
                .await
        })
        .expect("rows");
    let nulled: Vec<RecordBatch> = all
        .iter()
        .map(|batch| {
            let every = arrow::array::BooleanArray::from(vec![true; batch.num_rows()]);
            let columns = batch
                .columns()
                .iter()
                .map(|column| arrow::compute::nullif(column, &every).expect("nullif"))
                .collect();
            RecordBatch::try_new(batch.schema(), columns).expect("a batch")
        })
        .collect();
    assert!(
        leak(&String::from_utf8_lossy(&bytes_of(&nulled)), &denied).is_some(),
        "control"
    );
}

#[test]
fn a_parquet_result_holds_no_denied_value() {
    let world = world();
    let denied = denied(world, &lawful(world, "marketing"));
    let read = |bytes: Vec<u8>| {
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(
            bytes::Bytes::from(bytes),
            1024,
        )
        .expect("parquet");
        let batches: Vec<RecordBatch> = reader.map(|batch| batch.expect("a batch")).collect();
        String::from_utf8_lossy(&bytes_of(&batches)).into_owned()
    };
    let result = world
        .ask("marketing", "SELECT * FROM members")
        .expect("rows");
    assert_eq!(
        leak(
            &read(result.encode(Format::Parquet).expect("parquet")),
            &denied
        ),
        None
    );
    let raw = ungated(world);
    let all = world
        .runtime
        .block_on(async {
            raw.sql("SELECT * FROM members")
                .await
                .expect("sql")
                .collect()
                .await
        })
        .expect("rows");
    let control = encode(Format::Parquet, &all[0].schema(), &all).expect("parquet");
    assert!(leak(&read(control), &denied).is_some(), "control");
}
