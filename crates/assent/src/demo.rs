//! `assent demo`: the main job, end to end, in front of whoever is looking.
//!
//! Owns the order of the show and its words. Everything it does goes through the same intake, projection and sessions
//! as anybody's data.

mod population;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use assent_consent::{PurposeId, Timestamp, Use};
use assent_intake::{Caller, Outcome, Route};
use assent_programme::Principal;
use assent_segment::{Asked, LawfulSession, SegmentIds};
use assent_server::{Control, NewPrincipal, Roles};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};

use crate::cli::Demo;
use crate::clock;
use crate::config::{Config, JournalKind};
use crate::connection::TOKEN_FILE;
use crate::failure::{Explained, Failure};
use crate::metrics;
use crate::node::Node;
use crate::serving::{Serving, stop_signal};

/// The segment the show is about, and the purpose it stands under.
const SEGMENT: &str = "lapsing_regulars";
const PURPOSE: &str = "email_marketing";
const CHANNEL: &str = "email";
/// The source of the sample programme that the generated back end writes as.
const SOURCE: &str = "demo-server";
/// Tells a folder that a demo made, and may be told to make anew.
const MARKER: &str = "made-by-assent-demo";
/// Where the officer's token lies, in the data directory; the analyst's is found by the suggested commands.
const OFFICER_TOKEN_FILE: &str = "officer.token";
/// Events of one request.
const BATCH: usize = 1_000;

/// Runs the show; then serves until stopped, unless `--once`.
pub async fn run(config: Config, demo: Demo) -> Result<(), Failure> {
    let JournalKind::Embedded = config.journal else {
        return Err(Failure::usage(
            "the demo runs on embedded stores of its own; leave --config and ASSENT_JOURNAL__KIND away",
        ));
    };
    if !demo.programme.is_dir() {
        return Err(Failure::usage(format!(
            "{}: no such folder; run the demo in the repository, or name the sample programme with --programme",
            demo.programme.display()
        )));
    }
    let data_dir = config.data_dir.clone();
    if !demo.once {
        // The work comes first and takes a while: better to hear now that the port is taken.
        Serving::probe(config.server.port).await?;
    }
    found(&data_dir, &config.server.socket, demo.afresh)?;
    let recorder = match demo.once {
        true => None,
        false => metrics::record(&config)?,
    };
    let roles = Roles::all();
    let node = Node::open(Config { roles, ..config }).await?;
    let show = Show {
        recorder,
        now: clock::now(),
        node,
        data_dir,
        demo,
    };
    show.apply_programme().await?;
    let analyst = show.principals().await?;
    show.take_in().await?;
    show.project().await?;
    show.base(&analyst).await?;
    let next = show.withdrawal(&analyst).await?;
    if show.demo.once {
        return Ok(());
    }
    show.serve(&next).await
}

/// Makes the data directory. What it holds already is left alone and refused: an earlier demo's too, since it may have
/// been worked with, unless it is to be removed.
fn found(dir: &Path, socket: &Path, afresh: bool) -> Result<(), Failure> {
    let empty = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).explained(dir.display()),
    };
    if !empty {
        let of_a_demo = dir.join(MARKER).exists();
        let refused = |why: String| Failure::usage(format!("{}: {why}", dir.display()));
        if !of_a_demo {
            return Err(refused(
                "it holds data that no demo made; choose another --data-dir".to_owned(),
            ));
        }
        if !afresh {
            return Err(refused(format!(
                "it holds an earlier demo and what was done to it since. `assent serve --data-dir {}` goes on with it, \
                 `--afresh` removes it and begins anew, another --data-dir leaves it alone",
                quoted(&dir.to_string_lossy())
            )));
        }
        if std::os::unix::net::UnixStream::connect(socket).is_ok() {
            return Err(refused(
                "a server is running on it; stop it first, or choose another --data-dir".to_owned(),
            ));
        }
        std::fs::remove_dir_all(dir).explained(dir.display())?;
    }
    crate::stores::make_private(dir)?;
    std::fs::write(dir.join(MARKER), "").explained(dir.display())
}

struct Show {
    recorder: Option<PrometheusHandle>,
    now: Timestamp,
    node: Node,
    data_dir: PathBuf,
    demo: Demo,
}

impl Show {
    async fn apply_programme(&self) -> Result<(), Failure> {
        let changes = self
            .node
            .owner()
            .apply(crate::commands::absolute(&self.demo.programme)?)
            .await
            .map_err(problem)?
            .changes;
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for change in &changes {
            let kind = change.key.split(' ').next().unwrap_or_default();
            *kinds.entry(kind).or_default() += 1;
        }
        let of = |kind: &str| kinds.get(kind).copied().unwrap_or_default();
        heading("The programme");
        println!(
            "  {} purposes, {} notices, {} segments journalled from {}",
            of("purpose"),
            of("notice"),
            of("segment"),
            self.demo.programme.display()
        );
        Ok(())
    }

    /// An analyst for the marketing purposes, whose token the suggested commands find, and an officer.
    async fn principals(&self) -> Result<Principal, Failure> {
        let analyst = [
            "email_marketing",
            "sms_marketing",
            "personalised_recommendations",
            "account_based_marketing",
            "membership_service",
        ];
        self.principal("analyst", "analyst", &analyst, TOKEN_FILE)
            .await?;
        self.principal(
            "officer",
            "officer",
            &["rights_handling", "email_marketing"],
            OFFICER_TOKEN_FILE,
        )
        .await?;
        let registry = self.node.stores().knowledge.registry();
        registry
            .principal("analyst")
            .cloned()
            .ok_or_else(|| Failure::failed("the analyst was not recorded"))
    }

    async fn principal(
        &self,
        name: &str,
        role: &str,
        purposes: &[&str],
        file: &str,
    ) -> Result<(), Failure> {
        let token = self
            .node
            .owner()
            .add_principal(NewPrincipal {
                name: name.to_owned(),
                role: role.to_owned(),
                purposes: purposes.iter().map(|&purpose| purpose.to_owned()).collect(),
            })
            .await
            .map_err(problem)?;
        crate::stores::write_private(&self.data_dir.join(file), &token)
    }

    /// Generates the members and sends what a shop's back end would send.
    async fn take_in(&self) -> Result<(), Failure> {
        let started = Instant::now();
        let intake = self.node.intake()?;
        let caller = Caller::source(intake.source(SOURCE).explained("source")?);
        let mut sent = Sent::default();
        let (mut calls, mut decisions) = (Vec::new(), Vec::new());
        for number in 0..self.demo.members {
            let member = population::member(self.demo.seed, number, self.now);
            calls.extend(member.calls);
            decisions.extend(member.decisions);
            let last = number + 1 == self.demo.members;
            while calls.len() >= BATCH || (last && !calls.is_empty()) {
                let rest = calls.split_off(calls.len().min(BATCH));
                let body = json!({ "batch": std::mem::replace(&mut calls, rest) });
                let outcomes = intake
                    .events(&caller, Route::Batch, body.to_string().into_bytes())
                    .await
                    .explained("intake")?;
                sent.events += Sent::count(&outcomes)?;
            }
            while decisions.len() >= BATCH || (last && !decisions.is_empty()) {
                let rest = decisions.split_off(decisions.len().min(BATCH));
                let body = Value::Array(std::mem::replace(&mut decisions, rest));
                let outcomes = intake.consents(&caller, body).await.explained("intake")?;
                sent.decisions += Sent::count(&outcomes)?;
            }
        }
        heading("Taken in");
        println!(
            "  {} events and {} decisions of {} members, sealed and durable in {:.1} s",
            sent.events,
            sent.decisions,
            self.demo.members,
            started.elapsed().as_secs_f64()
        );
        Ok(())
    }

    async fn project(&self) -> Result<(), Failure> {
        let started = Instant::now();
        let projected = self
            .node
            .projection()?
            .project(false)
            .await
            .map_err(problem)?;
        heading("Projected");
        println!(
            "  {} events folded into profiles, manifest {}, in {:.1} s",
            projected.folded,
            projected.manifest,
            started.elapsed().as_secs_f64()
        );
        Ok(())
    }

    async fn base(&self, analyst: &Principal) -> Result<(), Failure> {
        let asked = Asked {
            purpose: Some(PURPOSE.to_owned()),
            channel: Some(CHANNEL.to_owned()),
            recipient: None,
        };
        let session = LawfulSession::open(self.node.engine()?, analyst, &asked, None)
            .await
            .explained("session")?;
        let counts = session.base_counts().await.explained("explain")?;
        heading(&format!("Who may be used for {PURPOSE}, by {CHANNEL}, now"));
        let base = counts.base;
        bar("permitted", counts.permitted, base);
        for (reason, members) in &counts.denied {
            bar(reason.as_str(), *members, base);
        }
        Ok(())
    }

    /// The segment; one of its members withdraws; the segment again. Returns the number of one who is still in it, if
    /// anybody is: the next who may withdraw.
    async fn withdrawal(&self, analyst: &Principal) -> Result<String, Failure> {
        heading(&format!("The segment {SEGMENT}"));
        let before = self.segment(analyst).await?;
        println!(
            "  three orders or more, none for 90 days: {} members",
            before.ids.len()
        );
        let Some((customer, member)) = self.someone_in(&before)? else {
            println!("  nobody is in it; try more --members");
            return Ok(population::customer_no(0));
        };
        let intake = self.node.intake()?;
        let caller = Caller::source(intake.source(SOURCE).explained("source")?);
        let withdrawal = json!({
            "subject": { "customer_no": customer }, "purpose": PURPOSE, "state": "withdrawn",
        });
        let started = Instant::now();
        let outcomes = intake
            .consents(&caller, withdrawal)
            .await
            .explained("intake")?;
        Sent::count(&outcomes)?;
        let acknowledged = started.elapsed();
        let after = self.segment(analyst).await?;
        let answered = started.elapsed();
        heading(&format!("{customer} withdraws"));
        println!(
            "  acknowledged after {:.1} ms; the segment again, {:.1} ms later: {} members",
            acknowledged.as_secs_f64() * 1e3,
            (answered - acknowledged).as_secs_f64() * 1e3,
            after.ids.len()
        );
        let gone = !after.ids.contains(&member) && after.ids.len() + 1 == before.ids.len();
        if !gone {
            return Err(Failure::failed(
                "the member who withdrew is still there: this must never happen, please report it",
            ));
        }
        println!("  that member is gone, nobody else");
        let next = self.someone_in(&after)?;
        Ok(next.map_or(customer, |(customer, _)| customer))
    }

    async fn segment(&self, analyst: &Principal) -> Result<SegmentIds, Failure> {
        let result = LawfulSession::for_segment(self.node.engine()?, analyst, SEGMENT, None)
            .await
            .explained("session")?
            .run_segment(SEGMENT)
            .await
            .explained(SEGMENT)?;
        SegmentIds::of(&result).explained(SEGMENT)
    }

    /// A member of the run, by the number the shop knows it by.
    fn someone_in(&self, run: &SegmentIds) -> Result<Option<(String, String)>, Failure> {
        // Which of its linked subjects stands for a member is chance.
        let use_ = Use::of(PurposeId::parse(PURPOSE).explained("purpose")?);
        let permit = self.node.engine()?.permit();
        let permitted = permit
            .permitted_live(&use_, clock::now())
            .explained("permit index")?;
        for number in 0..self.demo.members {
            let customer = population::customer_no(number);
            let subject = self.node.subject_of("customer_no", &customer)?;
            let member = subject
                .and_then(|subject| permitted.member_of(permitted.number_of(&subject)?))
                .map(|member| member.to_string());
            if let Some(member) = member
                && run.ids.contains(&member)
            {
                return Ok(Some((customer, member)));
            }
        }
        Ok(None)
    }

    /// Serves, and says what can be tried meanwhile. `next` is a member of the segment.
    async fn serve(self, next: &str) -> Result<(), Failure> {
        let serving = Serving::start(self.node, self.recorder).await?;
        let data_dir = self.data_dir.to_string_lossy();
        let command = format!("{} --data-dir {}", invoked_as(), quoted(&data_dir));
        heading(&format!("Serving on http://{}", serving.address));
        println!("  In another terminal, in this folder, as the analyst of this demo:\n");
        println!(
            "  {command} query --purpose {PURPOSE} --channel {CHANNEL} \\\n    \
             'SELECT city, count(*) AS members, avg(revenue_365d) AS spent FROM members GROUP BY city ORDER BY 2 DESC'\n"
        );
        println!("  {command} segment export {SEGMENT} --out /tmp\n");
        println!(
            "  curl -u demo-server-key: http://{}/v1/consents -d \\\n    \
             '{{\"subject\": {{\"customer_no\": \"{next}\"}}, \"purpose\": \"all\", \"state\": \"withdrawn\"}}'\n",
            serving.address
        );
        println!(
            "  The last makes {next} withdraw, who is in that export: the next one is without them."
        );
        println!(
            "  The officer's token, for `explain --identifier` and exact counts: --token \"$(cat {})\"",
            quoted(&self.data_dir.join(OFFICER_TOKEN_FILE).to_string_lossy())
        );
        println!("  Ctrl-C ends it.");
        stop_signal().await?;
        serving.stop().await
    }
}

/// How whoever watches called this program, and can call it again from the same folder.
fn invoked_as() -> String {
    let called = std::env::args_os().next();
    called.map_or_else(
        || "assent".to_owned(),
        |name| quoted(&name.to_string_lossy()),
    )
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "/._-+:@".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[derive(Default)]
struct Sent {
    events: usize,
    decisions: usize,
}

impl Sent {
    /// How many were taken. The generated population has nothing that may be refused: if intake refuses one, its
    /// reason is shown and the demo fails.
    fn count(outcomes: &[Outcome]) -> Result<usize, Failure> {
        let mut taken = 0;
        for outcome in outcomes {
            match outcome {
                Outcome::Journalled { .. } => taken += 1,
                Outcome::Duplicate => {}
                Outcome::Rejected(reason) => {
                    return Err(Failure::failed(format!(
                        "a generated event was refused at {}: {} ({})",
                        reason.pointer, reason.message, reason.fix
                    )));
                }
            }
        }
        Ok(taken)
    }
}

fn problem(problem: assent_server::Problem) -> Failure {
    let mut message = problem.detail;
    for fault in problem.errors {
        message.push_str(&format!("\n  {}: {}", fault.pointer, fault.detail));
    }
    Failure::of_status(problem.status.as_u16(), message)
}

fn heading(text: &str) {
    println!("\n{text}");
}

/// A line with a count, its share and a bar.
fn bar(name: &str, members: u64, base: u64) {
    const WIDTH: u64 = 40;
    let filled = (members * WIDTH).div_ceil(base.max(1)).min(WIDTH);
    let filled = usize::try_from(filled).unwrap_or_default();
    println!(
        "  {name:<26} {members:>7}  {:>5.1} %  {}",
        100.0 * members as f64 / base.max(1) as f64,
        "█".repeat(filled)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_holds_something_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("demo");
        let socket = dir.join("assent.sock");
        let refused = |afresh| found(&dir, &socket, afresh).unwrap_err().message;
        found(&dir, &socket, false).unwrap();
        std::fs::write(dir.join("journal.redb"), "mine").unwrap();
        let told = refused(false);
        assert!(
            told.contains("assent serve --data-dir") && told.contains("--afresh"),
            "{told}"
        );
        assert!(dir.join("journal.redb").exists());
        {
            let _server = std::os::unix::net::UnixListener::bind(&socket).unwrap();
            assert!(refused(true).contains("a server is running"));
        }
        found(&dir, &socket, true).unwrap();
        assert!(!dir.join("journal.redb").exists());
        // What no demo made goes with no flag.
        std::fs::remove_file(dir.join(MARKER)).unwrap();
        std::fs::write(dir.join("journal.redb"), "mine").unwrap();
        for afresh in [false, true] {
            assert!(refused(afresh).contains("no demo made"));
        }
        assert!(dir.join("journal.redb").exists());
    }

    #[test]
    fn a_path_is_one_word_of_the_shell() {
        assert_eq!(quoted("target/debug/assent"), "target/debug/assent");
        assert_eq!(quoted("my data"), "'my data'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
