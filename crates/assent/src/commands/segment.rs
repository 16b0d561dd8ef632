//! `assent segment run|refresh|list|show|diff|overlap|export`.

use serde_json::{Value, json};

use super::{At, absolute, print, print_bytes};
use crate::cli::{FileFormat, Segment};
use crate::failure::Failure;
use assent_server::ProcessRole;

/// Runs one of the segment commands.
pub async fn run(at: At, command: Segment) -> Result<(), Failure> {
    let exports = matches!(command, Segment::Export { .. });
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
            Segment::Refresh { name, format } => {
                let path = format!("/v1/segments/{name}/refresh");
                connection
                    .post(&path, format.media_type(), &json!({}))
                    .await
            }
            Segment::List { format } => connection.get("/v1/segments", format.media_type()).await,
            Segment::Diff {
                name,
                members,
                format,
            } => {
                let path = format!("/v1/segments/{name}/diff?members={members}");
                connection.get(&path, format.media_type()).await
            }
            Segment::Overlap { names, format } => {
                let body = json!({ "segments": names });
                connection
                    .post("/v1/overlaps", format.media_type(), &body)
                    .await
            }
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
    match exports {
        true => all_exported(&answer.json()?["manifest"]),
        false => Ok(()),
    }
}

/// Says how many members the file lacks because nothing names them outside. A file without anybody is a failure: who
/// reads the exit status only would take it for a segment without members.
fn all_exported(manifest: &Value) -> Result<(), Failure> {
    let lacking = manifest["not_exportable"].as_u64().unwrap_or_default();
    if lacking == 0 {
        return Ok(());
    }
    let rows = manifest["rows"].as_u64().unwrap_or_default();
    let told = format!(
        "{lacking} members of the segment are not in the file: they have no identifier that may leave under {}; see \
         export_namespaces in the file of the purpose",
        manifest["purpose"].as_str().unwrap_or_default()
    );
    if rows == 0 {
        return Err(Failure::failed(told));
    }
    eprintln!("{told}");
    Ok(())
}

fn file_format(format: FileFormat) -> &'static str {
    match format {
        FileFormat::Csv => "csv",
        FileFormat::Ndjson => "ndjson",
        FileFormat::Parquet => "parquet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_anybody_is_no_success() {
        let manifest = |rows: u64, lacking: u64| json!({ "rows": rows, "not_exportable": lacking, "purpose": "mail" });
        assert!(all_exported(&manifest(0, 0)).is_ok());
        assert!(all_exported(&manifest(3, 2)).is_ok());
        let failure = all_exported(&manifest(0, 2)).unwrap_err().to_string();
        assert!(
            failure.contains("2 members") && failure.contains("export_namespaces"),
            "{failure}"
        );
    }
}
