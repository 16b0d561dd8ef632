//! A query process that hears of decisions late: its queries wait, and where waiting does not help they are refused. They
//! never answer from what the process knew before (I2).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::deployed::{Brokers, Deployment, asked, decide, try_asked, until};
use crate::proxies::broker::BrokerProxy;

/// How late records come.
const DELAY: Duration = Duration::from_millis(600);
/// Later than a query may wait.
const TOO_LATE: Duration = Duration::from_secs(6);
/// Withdrawals, and grants after them.
const TRIALS: usize = 5;

const ASKED: &str = "SELECT count(*) AS n FROM members WHERE city = '杭州'";

#[test]
fn a_query_waits_for_what_it_has_not_heard_and_refuses_where_it_cannot() {
    let Some(mut deployment) = Deployment::new(Brokers::One, 1, "[profiles]\ndir = \"profiles\"")
    else {
        return;
    };
    let Some(proxy) = BrokerProxy::told() else {
        eprintln!(
            "late records are skipped: set ASSENT_KAFKA_PROXIED as `cargo xtask kafka up` says"
        );
        return;
    };
    deployment.ok("nobody", &["topics", "--create"]);
    deployment.ok("nobody", &["apply", "pipelines"]);
    let add = ["principal", "add", "me", "--purpose", "email_marketing"];
    let token = deployment.ok("nobody", &add);
    let token = token.trim();
    let intake = deployment.serve("intake", "intake");
    let projector = deployment.serve("projector", "projector");
    // It alone sees the brokers through the proxy.
    deployment = deployment
        .with("ASSENT_JOURNAL__KAFKA__BROKERS", proxy.address())
        .with("ASSENT_QUERY__BARRIER_TIMEOUT", "3s");
    let query = deployment.serve("query", "query");
    let is = json!({ "userId": "c1", "messageId": "i1", "traits": { "city": "杭州" } });
    let identified = intake.post("/v1/identify", "demo-server-key", &is).unwrap();
    assert_eq!(identified.status, 200);
    decide(&intake, "c1", "granted", "g");
    until("the profile", || {
        asked(&query, token, ASKED) == (200, 1.into())
    });

    proxy.delay(DELAY);
    let mut waited = Duration::ZERO;
    for trial in 0..TRIALS {
        for (state, shown) in [("withdrawn", 0), ("granted", 1)] {
            decide(&intake, "c1", state, &format!("{state}-{trial}"));
            let begin = Instant::now();
            assert_eq!(
                asked(&query, token, ASKED),
                (200, shown.into()),
                "trial {trial}: {state}, and the query did not wait for it"
            );
            waited = waited.max(begin.elapsed());
        }
    }
    assert!(waited > DELAY / 2, "nothing was late: {waited:?} at most");

    proxy.delay(TOO_LATE);
    // What was asked for before the delay grew is answered as it was.
    std::thread::sleep(DELAY);
    decide(&intake, "c1", "withdrawn", "too-late");
    assert_eq!(asked(&query, token, ASKED).0, 503);
    proxy.delay(Duration::ZERO);
    until("what came too late", || {
        asked(&query, token, ASKED) == (200, 0.into())
    });

    // Nor does it answer when it cannot ask.
    proxy.cut();
    decide(&intake, "c1", "granted", "unheard");
    let begin = Instant::now();
    assert_eq!(asked(&query, token, ASKED).0, 503);
    println!("refused after {:.1?} without brokers", begin.elapsed());
    proxy.mend();
    until("brokers again", || {
        try_asked(&query, token, ASKED) == Some((200, 1.into()))
    });
    assert!(query.stop() && projector.stop() && intake.stop());
}
