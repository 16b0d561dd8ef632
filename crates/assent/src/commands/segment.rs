//! `assent segment run|list|show|export`.

use serde_json::json;

use super::{At, absolute, print, print_bytes};
use crate::cli::{FileFormat, Segment};
use crate::failure::Failure;
use assent_server::ProcessRole;

/// Runs one of the segment commands.
pub async fn run(at: At, command: Segment) -> Result<(), Failure> {
    let answer = at
        .connected(Some(ProcessRole::Query), async |connection| match command {
            Segment::Run {
                name,
                as_of,
                format,
            } => {
                let path = format!("/v1/segments/{name}/run");
                connection
                    .post(&path, format.media_type(), &json!({ "as_of": as_of }))
                    .await
            }
            Segment::List { format } => connection.get("/v1/segments", format.media_type()).await,
            Segment::Show { name } => {
                connection
                    .get(&format!("/v1/segments/{name}"), "text/plain")
                    .await
            }
            Segment::Export { name, format, out } => {
                let body = json!({ "format": file_format(format), "dir": absolute(&out)? });
                let path = format!("/local/segments/{name}/export");
                connection.post(&path, "application/json", &body).await
            }
        })
        .await?;
    print(&answer)?;
    // A terminal's prompt belongs on a line of its own.
    if answer.body.last().is_some_and(|byte| *byte == b'}') {
        print_bytes(b"\n")?;
    }
    Ok(())
}

fn file_format(format: FileFormat) -> &'static str {
    match format {
        FileFormat::Csv => "csv",
        FileFormat::Ndjson => "ndjson",
        FileFormat::Parquet => "parquet",
    }
}
