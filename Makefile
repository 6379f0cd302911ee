# make demo    look at Rave without configuring anything: a whole conversation in the terminal
# make test    every test, with a real Docker Engine; as root on Debian, installs what is missing
# make mutants shows that each of a list of faults fails the tests, and writes docs/mutants.md
# make soak    kills, power cuts and simulated histories by the thousand; the result is docs/soak.md
# make bench   the budgets, measured as ratios on this machine
.PHONY: demo test mutants soak bench

demo:
	@cargo run -p rave -- demo

test:
	@tests/run

mutants:
	@tests/mutants/run write

soak:
	@tests/soak

bench:
	@cargo bench -p rave-tests --bench budgets
