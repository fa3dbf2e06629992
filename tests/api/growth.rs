//! The work of a context grows with the conversation, and never faster: counted in instructions, which do not depend on the machine's load.

use std::process::Command;

use crate::support::binary;

const KINDS: [&str; 11] = [
    "unanswered calls",
    "late results",
    "calls of one id",
    "calls without ids",
    "stray results",
    "instructions",
    "parts",
    "documents",
    "long ids",
    "reasoning",
    "turns",
];

#[test]
#[cfg_attr(not(has_valgrind), ignore = "there is no valgrind, which counts instructions")]
fn twice_as_long_a_conversation_is_twice_the_work() {
    let build = ["build", "--locked", "--package", "context", "--example", "worst"];
    assert!(local::project::cargo().args(build).status().unwrap().success());
    let worst = binary("examples/worst");
    for kind in KINDS {
        let [one, two, four] = ["60", "120", "240"].map(|number| {
            let mut command = Command::new("valgrind");
            command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(&worst).args([kind, number]);
            let output = command.output().unwrap();
            let printed = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{printed}");
            let counted = printed.split("Collected : ").nth(1).unwrap().split_whitespace().next().unwrap();
            counted.parse::<i64>().unwrap()
        });
        // The start of the process is in each of them, and in none of the differences.
        assert!((four - two) * 10 < (two - one) * 22, "{kind}: {one}, {two}, {four} instructions for 60, 120 and 240");
    }
}
