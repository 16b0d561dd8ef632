//! Fetches the broker's jars from Maven Central, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;

/// The Apache Kafka that is tested against.
pub(super) const KAFKA: &str = "4.3.1";
/// The logging binding: not in Kafka's POM, without it the broker runs silent. Its version is that of
/// the log4j-core which Kafka brings along.
const LOG4J: &str = "2.25.1";

const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>assent</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>{LOG4J}</version>
    </dependency>
  </dependencies>
</project>
"#;

/// The directory with the jars, fetched by Maven when it is not there yet.
pub(super) fn fetch(directory: &Path) -> Result<PathBuf, String> {
    let libraries = directory.join(format!("libs-{KAFKA}"));
    if libraries.is_dir() {
        return Ok(libraries);
    }
    process::require("mvn", &["--version"], "maven")?;
    eprintln!("── fetching Apache Kafka {KAFKA} from Maven Central");
    let unfinished = directory.join("libs-unfinished");
    let pom = directory.join("pom.xml");
    let prepare = || {
        fs::create_dir_all(directory)?;
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        fs::write(
            &pom,
            POM.replace("{KAFKA}", KAFKA).replace("{LOG4J}", LOG4J),
        )
    };
    prepare().map_err(|error| format!("cannot write below {}: {error}", directory.display()))?;
    // Maven tells its errors on standard output: kept, and shown when it failed.
    let output = Command::new("mvn")
        .args(["-q", "-B", "-Dstyle.color=never", "-f"])
        .arg(&pom)
        .arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies")
        .arg("-DincludeScope=runtime")
        .arg(format!("-DoutputDirectory={}", unfinished.display()))
        .output()
        .map_err(|error| format!("cannot start mvn: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "{}\nmvn could not fetch Apache Kafka {KAFKA} ({}); it needs Maven Central, \
             or a mirror of it in Maven's settings.xml",
            String::from_utf8_lossy(&output.stdout).trim_end(),
            output.status
        ));
    }
    // Renamed only when complete, so that an interrupted download is begun again.
    fs::rename(&unfinished, &libraries)
        .map_err(|error| format!("cannot name {}: {error}", libraries.display()))?;
    Ok(libraries)
}
