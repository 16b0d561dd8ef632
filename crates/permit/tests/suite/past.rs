//! I10 by comparison: what the index says was known at a place in the journal is what an index says that read the journal
//! to there and no further.

use std::collections::BTreeSet;

use assent_consent::{Fact, SubjectId, Timestamp, Use, Verdict};
use assent_permit::{Explained, Permit};
use assent_programme::Programme;
use assent_testkit::generate::{PURPOSES, Story, a_use, registry, story_of};
use assent_testkit::seeded::Seeded;

use crate::support::{Deployment, programme, purpose_id};

const HISTORIES: u64 = 5;
/// Facts are told in so many parts; before some of them the programme changes.
const PARTS: usize = 5;

/// What is written to a journal, in order.
enum Step {
    Define(Box<Programme>),
    Tell(Vec<Fact>),
}

struct History {
    steps: Vec<Step>,
    subjects: Vec<SubjectId>,
    uses: Vec<Use>,
    instants: Vec<Timestamp>,
}

impl History {
    fn of(seed: u64) -> Self {
        let mut seeded = Seeded::new(seed);
        let registry = registry(&mut seeded);
        let uses: Vec<Use> = PURPOSES
            .iter()
            .map(|purpose| a_use(&registry, purpose_id(purpose), &mut seeded))
            .collect();
        // What was published before stays.
        let mut programme = programme(None);
        let purposes = registry.purposes();
        programme
            .purposes
            .extend(purposes.map(|purpose| (purpose.id.clone(), purpose.clone())));
        let notices = registry.notices();
        programme
            .notices
            .extend(notices.map(|notice| (notice.reference(), notice.clone())));
        let Story {
            history,
            subjects,
            questions,
            ..
        } = story_of(registry, &uses, seed);
        let mut steps = Vec::new();
        let part = history.len().div_ceil(PARTS).max(1);
        for (place, facts) in history.chunks(part).enumerate() {
            if let Some(longest) = [None, None, Some(60), None, Some(15)][place] {
                // A validity can be made shorter only.
                for purpose in programme.purposes.values_mut() {
                    let days = purpose.grant_validity_days.unwrap_or(longest);
                    purpose.grant_validity_days = Some(days.min(longest));
                }
            }
            // The programme as it is where nothing changes in it.
            steps.push(Step::Define(Box::new(programme.clone())));
            steps.push(Step::Tell(facts.to_vec()));
        }
        let asked: BTreeSet<Timestamp> = questions.iter().map(|question| question.at).collect();
        Self {
            steps,
            subjects,
            uses,
            instants: asked.into_iter().step_by(3).collect(),
        }
    }

    /// Everything that can be asked.
    fn said(
        &self,
        mut explain: impl FnMut(SubjectId, &Use, Timestamp) -> Explained,
    ) -> Vec<Explained> {
        let mut said = Vec::new();
        for subject in &self.subjects {
            for use_ in &self.uses {
                said.extend(self.instants.iter().map(|at| explain(*subject, use_, *at)));
            }
        }
        said
    }
}

async fn write(site: &Deployment, step: &Step) {
    match step {
        Step::Define(programme) => site.define(programme).await,
        Step::Tell(facts) => site.tell_facts(facts).await,
    }
}

/// A journal with only these steps, and an index of it.
async fn replayed(steps: &[Step]) -> (Deployment, Permit) {
    let site = Deployment::new().await;
    for step in steps {
        write(&site, step).await;
    }
    let permit = site.start();
    permit.barrier().await.unwrap();
    (site, permit)
}

#[tokio::test]
async fn past_verdicts_are_those_of_a_replay_to_there() {
    let (mut lawful, mut other_since, mut asked) = (0, 0, 0);
    for seed in 0..HISTORIES {
        let history = History::of(seed);
        let site = Deployment::new().await;
        let permit = site.start();
        let mut places = Vec::new();
        for step in &history.steps {
            write(&site, step).await;
            places.push(permit.barrier().await.unwrap());
        }
        let now = history
            .said(|subject, use_, at| permit.evaluate_subject(subject, use_, at, None).unwrap());
        for (place, known_by) in places.iter().enumerate() {
            let (_site, then) = replayed(&history.steps[..=place]).await;
            // That somebody exists is known from profiles, whenever they decide.
            then.introduce(&history.subjects).unwrap();
            let told = history.said(|subject, use_, at| {
                let known_by = Some(known_by);
                permit
                    .evaluate_subject(subject, use_, at, known_by)
                    .unwrap()
            });
            let replayed = history
                .said(|subject, use_, at| then.evaluate_subject(subject, use_, at, None).unwrap());
            for ((told, replayed), now) in told.iter().zip(&replayed).zip(&now) {
                let whom = told.subject;
                assert_eq!(
                    format!("{told:#?}"),
                    format!("{replayed:#?}"),
                    "seed {seed}, step {place}, {whom} for {} at {}",
                    told.use_.purpose,
                    told.at
                );
                // The whole index says the same as its explanation.
                let set = then.permitted(&told.use_, told.at).unwrap();
                let number = set.number_of(&whom).unwrap();
                match &told.evaluation.verdict {
                    Verdict::Lawful(coverage) => assert_eq!(set.coverage(number), Some(coverage)),
                    Verdict::Denied(why) => assert_eq!(set.reason(number), Some(*why)),
                }
                asked += 1;
                let verdict = &told.evaluation.verdict;
                lawful += u32::from(matches!(verdict, Verdict::Lawful(_)));
                other_since += u32::from(*verdict != now.evaluation.verdict);
            }
        }
    }
    println!("{asked} verdicts, {lawful} lawful then, {other_since} other now");
    assert!(lawful * 10 > asked, "hardly anybody was ever lawful");
    assert!(other_since * 20 > asked, "hardly anything changed");
}
