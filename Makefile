# make demo    look at Rave without configuring anything: a whole conversation in the terminal
# make test    every test, with a real Docker Engine; as root on Debian, installs what is missing
# make bench   the budgets, measured as ratios on this machine
.PHONY: demo test bench

demo:
	@cargo run -p rave -- demo

test:
	@tests/run

bench:
	@cargo bench -p rave-tests --bench budgets
