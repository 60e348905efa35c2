use std::sync::Mutex;

use super::*;

/// A time far longer than each test needs.
const DEADLINE: Duration = Duration::from_secs(30);

/// An output that a test can block, fill up and break.
#[derive(Clone, Default)]
struct TestOutput(Arc<Mutex<OutputState>>);

#[derive(Default)]
struct OutputState {
    text: Vec<u8>,
    is_blocked: bool,
    /// Number of bytes that can be written until a write fails.
    room: Option<usize>,
}

impl TestOutput {
    fn set(&self, change: impl FnOnce(&mut OutputState)) {
        change(&mut self.0.lock().unwrap());
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().text.clone()).unwrap()
    }
}

impl Write for TestOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap();
        if state.is_blocked {
            return Err(ErrorKind::WouldBlock.into());
        }
        let length = match state.room {
            Some(0) => return Err(ErrorKind::StorageFull.into()),
            Some(room) => room.min(bytes.len()),
            None => bytes.len(),
        };
        state.text.extend_from_slice(&bytes[..length]);
        if let Some(room) = &mut state.room {
            *room -= length;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts a queue that reports lost lines into itself, as the log does.
fn start(output: &TestOutput) -> LogQueue {
    static QUEUES: Mutex<Vec<(ThreadId, LogQueue)>> = Mutex::new(Vec::new());
    let report = |lost| {
        let queues = QUEUES.lock().unwrap();
        let this = thread::current().id();
        let (_, queue) = queues.iter().find(|(id, _)| *id == this).unwrap();
        queue.push(format!("lost {lost}\n").as_bytes());
    };
    let queue = LogQueue::start(output.clone(), report).unwrap();
    until(|| queue.counts.writer.get().is_some());
    let writer = *queue.counts.writer.get().unwrap();
    QUEUES.lock().unwrap().push((writer, queue.clone()));
    queue
}

fn until(mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < DEADLINE);
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn lines_are_written_in_their_order() {
    let output = TestOutput::default();
    let queue = start(&output);

    for line in ["one\n", "two\n", "three\n"] {
        queue.make_writer().write_all(line.as_bytes()).unwrap();
    }
    queue.wait_until_empty(DEADLINE);

    assert_eq!(output.text(), "one\ntwo\nthree\n");
    assert_eq!(queue.lost_lines(), 0);
}

#[test]
fn a_blocked_output_delays_no_caller_and_lost_lines_are_counted_and_reported() {
    let output = TestOutput::default();
    let queue = start(&output);
    output.set(|state| state.is_blocked = true);
    let line = [b"x".repeat(1023), b"\n".to_vec()].concat();

    let lines = 2 * CAPACITY / line.len();
    for _ in 0..lines {
        queue.push(&line);
    }
    let lost = queue.lost_lines();
    assert!(queue.counts.waiting_bytes.load(Ordering::Relaxed) <= CAPACITY);
    output.set(|state| state.is_blocked = false);

    until(|| output.text().ends_with(&format!("lost {lost}\n")));
    let written = u64::try_from(output.text().matches("x\n").count()).unwrap();
    assert!(lost > 0 && written > 0);
    assert_eq!(written + lost, u64::try_from(lines).unwrap());
}

#[test]
fn failed_lines_are_counted_and_the_next_one_begins_a_new_line() {
    let output = TestOutput::default();
    let queue = start(&output);
    output.set(|state| state.room = Some(6));
    for line in ["first\n", "second\n", "third\n"] {
        queue.push(line.as_bytes());
    }
    queue.wait_until_empty(DEADLINE);
    assert_eq!(queue.lost_lines(), 2);
    output.set(|state| state.room = Some(4));
    queue.push(b"fourth\n");
    queue.wait_until_empty(DEADLINE);
    assert_eq!(output.text(), "first\nfour");

    output.set(|state| state.room = None);
    queue.push(b"fifth\n");

    until(|| output.text().ends_with("lost 3\n"));
    assert_eq!(output.text(), "first\nfour\nfifth\nlost 3\n");
}

#[test]
fn waiting_for_a_blocked_output_ends() {
    let output = TestOutput::default();
    let queue = start(&output);
    output.set(|state| state.is_blocked = true);
    queue.push(b"line\n");

    queue.wait_until_empty(Duration::from_millis(50));

    assert_eq!(output.text(), "");
}
