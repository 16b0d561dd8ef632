//! A segment kept by several query processes over one history: whoever withdraws is out of it in each of them at once, and
//! is told to have left by one of them, once.

use std::path::Path;

use serde_json::{Value, json};

use crate::deployed::{decide, number, until};
use crate::running::Server;

const SEGMENT: &str = "all_customers";
/// How many withdraw.
const LEAVE: usize = 4;

/// Adds the segment to a programme.
pub fn define(programme: &Path) {
    let text = format!(
        "-- Everybody who ever ordered.\nCREATE SEGMENT {SEGMENT}\n  FOR PURPOSE email_marketing\n  \
         AS SELECT member_id FROM members WHERE purchases_total >= 1;\n"
    );
    let file = programme.join(format!("segments/{SEGMENT}.sql"));
    std::fs::write(file, text).unwrap();
}

/// Keeps the segment and asks about it here and there. All `members` are customers and have granted; they have again when
/// this returns.
pub fn by_several(intakes: &[Server; 2], queries: &[Server; 2], token: &str, members: &[String]) {
    assert_eq!(refreshed(&queries[0], token), members.len() as u64);
    let told = |change: &str| -> u64 {
        let name = format!("assent_segment_changes_total{{change=\"{change}\"}}");
        queries.iter().map(|query| number(query, &name)).sum()
    };
    until("entering to be told", || {
        told("entered") == members.len() as u64
    });
    for (place, member) in members[..LEAVE].iter().enumerate() {
        let left = (members.len() - place - 1) as u64;
        decide(
            &intakes[place % 2],
            member,
            "withdrawn",
            &format!("leaves-{member}"),
        );
        // The process that did not run it, and the one that did.
        for query in queries.iter().rev() {
            assert_eq!(held(query, token), left, "{place}");
        }
    }
    until("leaving to be told", || told("left") == LEAVE as u64);
    for member in &members[..LEAVE] {
        decide(
            &intakes[0],
            member,
            "granted",
            &format!("comes-back-{member}"),
        );
    }
    // Who left stays out until the next run.
    for query in queries {
        assert_eq!(held(query, token), (members.len() - LEAVE) as u64);
    }
    assert_eq!(refreshed(&queries[1], token), members.len() as u64);
    for query in queries {
        assert_eq!(held(query, token), members.len() as u64);
    }
    let entered = (members.len() + LEAVE) as u64;
    until("entering again to be told", || told("entered") == entered);
    assert_eq!(told("left"), LEAVE as u64, "once, by one of them");
}

fn refreshed(query: &Server, token: &str) -> u64 {
    first_count(
        query,
        token,
        &format!("/v1/segments/{SEGMENT}/refresh"),
        &json!({}),
    )
}

fn held(query: &Server, token: &str) -> u64 {
    first_count(
        query,
        token,
        "/v1/overlaps",
        &json!({ "segments": [SEGMENT] }),
    )
}

/// `members` of the first row of an answer.
fn first_count(query: &Server, token: &str, path: &str, body: &Value) -> u64 {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("accept", "application/json"),
    ];
    let body = body.to_string();
    let answer = query
        .request("POST", path, &headers, body.as_bytes())
        .unwrap();
    let rows = answer.json();
    assert_eq!(answer.status, 200, "{rows:?}");
    let members = &rows[0]["members"];
    let members = members
        .as_str()
        .and_then(|n| n.parse().ok())
        .or(members.as_u64());
    members.unwrap_or_else(|| panic!("{rows:?}"))
}
