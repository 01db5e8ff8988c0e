//! Starts and steps by table, and any sequence of waits, steps, restarts and confirmations.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::store::stamps::Stamps;

const DAY: i64 = 86_400;
const WEEK: Duration = Duration::from_hours(168);
const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(NOW.micros() + seconds * 1_000_000)
}

fn reading(wall_seconds: i64, boot_seconds: u64) -> Reading {
    Reading { wall: at(wall_seconds), boot: Duration::from_secs(boot_seconds) }
}

/// A judge that has begun, with the clock at 0 s after 100 s of the machine.
fn running() -> Judge {
    let mut judge = Judge::begin(&Known::default(), WEEK, reading(0, 100));
    assert!(judge.read(reading(0, 100)).is_plausible);
    judge
}

#[test]
fn a_start_is_judged_by_what_is_stored() {
    let beat = Known { heartbeat: Some(at(0)), last_stamp: Some(at(-30)), ..Known::default() };
    let upgraded = Known { last_stamp: Some(at(0)), ..Known::default() };
    // An earlier version has written since the heartbeat.
    let went_back = Known { heartbeat: Some(at(-30 * DAY)), last_stamp: Some(at(0)), ..Known::default() };
    let stepped = Known { is_doubted: true, ..beat };
    // An operator has overruled stamps of ten years later.
    let (years, confirmed) = (Some(at(3_650 * DAY)), Some(at(0)));
    let overruled = Known {
        heartbeat: confirmed,
        last_stamp: years,
        confirmed,
        confirmed_over: years,
        is_doubted: false,
    };
    let wrong_since = Known { last_stamp: Some(at(3_651 * DAY)), ..overruled };
    for (name, known, wall, is_plausible) in [
        ("a new database", Known::default(), 3_650 * DAY, true),
        ("right after a heartbeat", beat, 1, true),
        ("after a week", beat, 7 * DAY, true),
        ("after more than a week", beat, 7 * DAY + 1, false),
        ("after ten years", beat, 3_650 * DAY, false),
        ("a little before the heartbeat", beat, -300, true),
        ("before the heartbeat", beat, -301, false),
        ("an hour before it", beat, -3_600, false),
        ("an earlier version's database", upgraded, DAY, true),
        ("its clock before the last stamp", upgraded, -3_600, false),
        ("its clock ten years later", upgraded, 3_650 * DAY, false),
        ("an earlier version was used again", went_back, DAY, true),
        ("and its clock is wrong", went_back, -DAY, false),
        ("a step that a restart would hide", stepped, 8 * 3_600, false),
        ("that is undone", stepped, 60, true),
        ("stamps that an operator has overruled", overruled, 60, true),
        ("stamps that are later than those", wrong_since, 60, false),
    ] {
        let mut judge = Judge::begin(&known, WEEK, reading(wall, 7));
        let judged = judge.read(reading(wall, 7));
        assert_eq!(judged.is_plausible, is_plausible, "{name}");
        let passed = if is_plausible { at(wall) } else { known.passed().unwrap() };
        assert_eq!((judged.now, judged.due_until), (passed, passed), "{name}");
        // An hour later nothing else has happened.
        let later = judge.read(reading(wall + 3_600, 3_607));
        assert_eq!(later.is_plausible, is_plausible, "{name}");
        assert_eq!(later.now.micros() - passed.micros(), 3_600_000_000, "{name}");
        assert_eq!(later.due_until == later.now, is_plausible, "{name}");
    }
}

#[test]
fn a_clock_that_is_set_right_after_a_start_is_plausible_again() {
    let known = Known { heartbeat: Some(at(0)), ..Known::default() };
    let mut judge = Judge::begin(&known, WEEK, reading(3_650 * DAY, 0));
    assert!(!judge.read(reading(3_650 * DAY, 0)).is_plausible && !judge.has_begun());
    // It was off for two days.
    let judged = judge.read(reading(2 * DAY + 60, 60));
    assert!(judged.is_plausible && judge.has_begun());
    assert_eq!(judged.now, at(2 * DAY + 60));
    // From here on a day is a step.
    assert!(!judge.read(reading(3 * DAY + 60, 61)).is_plausible);
}

#[test]
fn a_step_is_more_than_five_minutes_in_a_day() {
    for (name, wall, boot, is_plausible) in [
        ("nothing", 0, 100, true),
        ("a leap second", -1, 100, true),
        ("a correction by NTP", 1, 101, true),
        ("500 ppm for a day", DAY + 43, 100 + 86_400, true),
        ("a pause while a machine is moved", 90, 100, true),
        ("a suspension, which the time since boot counts", 8 * 3_600, 100 + 8 * 3_600, true),
        ("five minutes", 300, 100, true),
        ("more", 301, 100, false),
        ("five minutes back", -300, 100, true),
        ("more back", -301, 100, false),
        ("eight hours", 8 * 3_600, 100, false),
        ("an hour back", -3_600, 100, false),
    ] {
        let judged = running().read(reading(wall, boot));
        assert_eq!(judged.is_plausible, is_plausible, "{name}");
        let elapsed = i64::try_from(boot).unwrap() - 100;
        assert_eq!(judged.now, at(if is_plausible { wall } else { elapsed }), "{name}");
    }
    // Small differences do not add up within a day.
    let mut judge = running();
    assert!(judge.read(reading(200 + 3_600, 100 + 3_600)).is_plausible);
    assert!(!judge.read(reading(400 + 7_200, 100 + 7_200)).is_plausible);
    assert!(judge.read(reading(200 + 86_400, 100 + 86_400)).is_plausible);
    assert!(judge.read(reading(400 + 90_000, 100 + 90_000)).is_plausible);
}

#[test]
fn a_step_stays_until_it_is_undone_or_confirmed() {
    let mut judge = running();
    assert!(judge.read(reading(60, 160)).is_plausible);
    let stepped = judge.read(reading(8 * 3_600 + 90, 190));
    assert_eq!(stepped, Judged { now: at(90), due_until: at(60), is_plausible: false });
    let undone = judge.read(reading(120, 220));
    assert_eq!(undone, Judged { now: at(120), due_until: at(120), is_plausible: true });
    assert!(!judge.read(reading(-3_600, 230)).is_plausible);
    // What was confirmed is not what it shows by now.
    judge.heed(Some(at(5 * 3_600)), Duration::from_secs(230));
    assert!(!judge.read(reading(-3_600, 230)).is_plausible);
    judge.heed(Some(at(-3_599)), Duration::from_secs(231));
    assert_eq!(judge.read(reading(-3_597, 233)).now, at(-3_597));
    // A confirmation counts once.
    assert!(!judge.read(reading(0, 234)).is_plausible);
    judge.heed(Some(at(-3_599)), Duration::from_secs(234));
    assert!(!judge.read(reading(0, 234)).is_plausible);
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u32),
    Set(i64),
    /// Seconds without a server, and whether the machine starts anew.
    Restart(u32, bool),
    Confirm,
}

/// Servers one after another on one database, and what is true.
struct World {
    /// Microseconds of true time since the beginning.
    passed: i64,
    /// By how many seconds the clock is wrong.
    wrong: i64,
    booted: i64,
    known: Known,
    judge: Judge,
    stamps: Stamps,
    last_stamp: Timestamp,
    /// The last plausible moment by the model, and when it was.
    last: (Timestamp, i64),
}

impl World {
    fn new() -> Self {
        let known = Known::default();
        let first = reading(0, 1_000);
        Self {
            passed: 0,
            wrong: 0,
            booted: -1_000_000_000,
            known,
            judge: Judge::begin(&known, WEEK, first),
            stamps: Stamps::default(),
            last_stamp: Timestamp::default(),
            last: (NOW, 0),
        }
    }

    fn reading(&self) -> Reading {
        let wall = NOW.micros() + self.passed + self.wrong * 1_000_000;
        let boot = u64::try_from(self.passed - self.booted).unwrap();
        Reading { wall: Timestamp::from_micros(wall), boot: Duration::from_micros(boot) }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Wait(seconds) => self.passed += i64::from(seconds) * 1_000_000,
            Step::Set(by) => self.wrong += by,
            Step::Restart(seconds, machine) => {
                self.passed += i64::from(seconds) * 1_000_000;
                if machine {
                    self.booted = self.passed - 1_000_000;
                }
                self.judge = Judge::begin(&self.known, WEEK, self.reading());
                self.stamps = Stamps::after(self.last_stamp);
                self.last = (self.known.passed().unwrap_or(self.reading().wall), self.passed);
            }
            Step::Confirm => {
                let shown = Some(self.reading().wall);
                self.known = Known {
                    heartbeat: shown,
                    is_doubted: false,
                    confirmed: shown,
                    confirmed_over: Some(self.last_stamp),
                    ..self.known
                };
            }
        }
    }

    /// A look of the heartbeat, and a commit.
    fn look(&mut self) -> Judged {
        let reading = self.reading();
        self.judge.heed(self.known.confirmed, reading.boot);
        let judged = self.judge.read(reading);
        if judged.is_plausible {
            (self.known.heartbeat, self.known.is_doubted) = (Some(judged.now), false);
        } else if self.judge.has_begun() {
            self.known.is_doubted = true;
        }
        let stamp = self.stamps.begin(judged.now);
        self.stamps.stored();
        assert!(stamp > self.last_stamp && stamp >= judged.now);
        self.last_stamp = stamp;
        self.known.last_stamp = Some(stamp);
        judged
    }

    fn check(&mut self, judged: Judged) {
        let wall = self.reading().wall;
        if judged.is_plausible {
            assert_eq!((judged.now, judged.due_until), (wall, wall));
            self.last = (wall, self.passed);
        } else {
            let elapsed = self.passed - self.last.1;
            assert_eq!(judged.now.micros(), self.last.0.micros() + elapsed);
            assert_eq!(judged.due_until, self.last.0);
        }
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let years = 400_000_000_i64;
    prop_oneof![
        3 => (0..300_000_u32).prop_map(Step::Wait),
        2 => prop_oneof![-600..600_i64, -100_000..100_000_i64, -years..years].prop_map(Step::Set),
        2 => (0..900_000_u32, any::<bool>()).prop_map(|(seconds, machine)| Step::Restart(seconds, machine)),
        1 => Just(Step::Confirm),
    ]
}

/// Steps that are found, each alone, and absences that are believed.
fn step_while_running() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..300_000_u32).prop_map(Step::Wait),
        2 => prop_oneof![-100_000..-600_i64, 600..100_000_i64, Just(0)].prop_map(Step::Set),
        1 => (0..500_000_u32, any::<bool>()).prop_map(|(seconds, machine)| Step::Restart(seconds, machine)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 512,
        rng_seed: RngSeed::Fixed(14),
        ..ProptestConfig::default()
    })]

    #[test]
    fn stamps_rise_and_a_plausible_clock_is_followed_exactly(
        steps in prop::collection::vec(any_step(), 1..40)
    ) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            let judged = world.look();
            world.check(judged);
        }
        // Whatever was before: a clock that an operator confirms is followed.
        world.step(&Step::Confirm);
        prop_assert!(world.look().is_plausible);
        world.step(&Step::Restart(60, true));
        prop_assert!(world.look().is_plausible);
    }

    #[test]
    fn nothing_falls_due_early_by_a_step_while_a_server_runs(
        steps in prop::collection::vec(step_while_running(), 1..40)
    ) {
        let mut world = World::new();
        world.look();
        for step in &steps {
            world.step(step);
            let judged = world.look();
            world.check(judged);
            // What several steps come to may be small, and is followed: once a day, and once a start.
            let days = world.passed / (DAY * 1_000_000);
            let starts = steps.iter().filter(|step| matches!(step, Step::Restart(..))).count();
            let followed = 300_000_000 * (days + 1 + i64::try_from(starts).unwrap());
            prop_assert!(judged.due_until.micros() <= NOW.micros() + world.passed + followed);
        }
    }
}
