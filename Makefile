# Targets for people: demo, test, install, bench-fusion. `make help` lists all.

PREFIX ?= /usr/local
DESTDIR ?=
CC ?= cc
SWIFT ?= swift
SWIFTFLAGS ?=
BUILD := build
LOCAL := $(abspath $(BUILD)/prefix)

.PHONY: help scenarios setup setup-test build install local examples demo test test-c test-python wheel valgrind asan dnnl3 abi format lint proto \
        fuzz fuzz-short sanitize soak bench bench-fusion bench-rewriting bench-models bench-programs bench-torch sweep-torch sweep-onnx clean

help:
	@echo 'make demo                      install what is missing, build, classify digits, compare fused with unfused'
	@echo 'make test                      the same set-up, then all tests'
	@echo 'make install PREFIX= DESTDIR=  header, library, pkg-config file, CMake package'
	@echo 'make test-c, test-python      parts of it, against build/prefix; also valgrind'
	@echo 'make wheel                     a Python wheel with the library and oneDNN inside, in build/dist'
	@echo 'make asan                      the Python tests on a library with the address sanitizer'
	@echo 'make dnnl3                     build and test against oneDNN 3.2 from PyPI'
	@echo 'make abi                       write the export list and abi/ again after a change of the header'
	@echo 'make bench                     Tenon beside ONNX Runtime and OpenVINO on ten networks; BENCH= passes arguments on'
	@echo 'make sweep-torch               every model of torchvision and timm against PyTorch; writes the table of docs/pytorch.md'
	@echo 'make sweep-onnx                models of torchvision and timm, exported to ONNX, against ONNX Runtime; writes docs/onnx-models.md'
	@echo 'make bench-torch               compile time and latency against PyTorch and Inductor'
	@echo 'make bench-fusion              fused against unfused on the convolutions of ResNet-50'
	@echo 'make bench-rewriting           time and memory of fusing graphs of 10^3 to 10^6 operators'
	@echo 'make bench-models              models that others trained, on Tenon and on ONNX Runtime'
	@echo 'make bench-programs            programs that others wrote for ONNX Runtime, on it and on Tenon'
	@echo 'make format, make lint         swift format with the committed configuration'
	@echo 'make scenarios                 write docs/scenarios.md: which test holds which behaviour'
	@echo 'make fuzz, make fuzz-short     importer, text form, runs and valid modules under libFuzzer, ten minutes or twenty seconds each'
	@echo 'make sanitize                  the C and C++ suites with the library under address, undefined and thread sanitizers'
	@echo 'make soak                      long forms of tests: forks, failing allocations, mutated models, graphs against TVM, fuzzers; hours'
	@echo 'make proto                     generate the Swift of the ONNX messages again'

setup:
	scripts/setup.sh demo

setup-test:
	scripts/setup.sh test

build:
	$(SWIFT) build -c release --product tenon --disable-local-rpath $(SWIFTFLAGS)

install: build
	PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/install.sh "$$($(SWIFT) build -c release --show-bin-path)/libtenon.so"

# What examples and tests are built against.
local: build
	PREFIX='$(LOCAL)' DESTDIR= scripts/install.sh "$$($(SWIFT) build -c release --show-bin-path)/libtenon.so"

examples: local
	scripts/examples.sh '$(LOCAL)' $(BUILD)/examples

demo: setup
	@$(MAKE) --no-print-directory examples
	@scripts/demo.sh '$(LOCAL)' $(BUILD)/examples

test: setup-test
	@$(MAKE) --no-print-directory local
	@SWIFT='$(SWIFT)' scripts/test.sh '$(LOCAL)'

test-c: local
	@scripts/test.sh '$(LOCAL)' c

valgrind: local
	@scripts/test.sh '$(LOCAL)' valgrind

test-python: setup-test
	@$(MAKE) --no-print-directory local
	@scripts/test.sh '$(LOCAL)' python

wheel: setup local
	scripts/wheel.sh '$(LOCAL)' $(BUILD)/dist

# In a build folder of its own.
asan: setup-test
	scripts/test-asan.sh '$(abspath $(BUILD))/asan'

# Another oneDNN, in build folders of its own.
DNNL3 := $(abspath $(BUILD)/dnnl3)
dnnl3: setup
	scripts/dnnl3.sh '$(DNNL3)/onednn'
	TENON_DNNL_ROOT='$(DNNL3)/onednn' $(SWIFT) build -c release --product tenon --scratch-path $(BUILD)/dnnl3/swift $(SWIFTFLAGS)
	PREFIX='$(DNNL3)/prefix' DESTDIR= DNNL_LIBS='-L$(DNNL3)/onednn/lib -ldnnl' scripts/install.sh $(BUILD)/dnnl3/swift/release/libtenon.so
	TENON_DNNL_ROOT='$(DNNL3)/onednn' LD_LIBRARY_PATH='$(DNNL3)/onednn/lib' scripts/test.sh '$(DNNL3)/prefix' cdnnl c examples

abi:
	scripts/abi.sh

format:
	$(SWIFT) format -i -r -p Package.swift Sources Tests

lint:
	scripts/trap-check.py
	$(SWIFT) format lint --strict -r -p $$(git ls-files '*.swift' | grep -v '\.pb\.swift$$')

sweep-torch: setup-test local
	PYTHONPATH=python TENON_LIBRARY='$(LOCAL)/lib/libtenon.so' .venv/bin/python scripts/torch-table.py

sweep-onnx: setup-test local
	PYTHONPATH=python TENON_LIBRARY='$(LOCAL)/lib/libtenon.so' .venv/bin/python scripts/onnx-table.py

bench-torch: setup-test local
	PYTHONPATH=python TENON_LIBRARY='$(LOCAL)/lib/libtenon.so' .venv/bin/python benchmarks/torch_compile.py

fuzz:
	scripts/fuzz.sh 600

fuzz-short:
	scripts/fuzz.sh 20

sanitize: setup-test
	SWIFT='$(SWIFT)' scripts/sanitize.sh $(BUILD)/sanitize

soak: setup-test local
	scripts/soak.sh '$(LOCAL)'

scenarios:
	scripts/scenario-table.py

proto:
	scripts/generate-onnx-proto.sh

# Against the installed copy, as a host would build it.
PKG := PKG_CONFIG_PATH='$(LOCAL)/lib/pkgconfig' pkg-config
LINK = $$($(PKG) --cflags --libs tenon) -Wl,-rpath,'$(LOCAL)/lib'
WARN := -std=c99 -D_POSIX_C_SOURCE=200809L -O2 -Wall -Wextra -pedantic -Werror

# BENCH='--engines tenon,ort,openvino,eager,inductor --batch 8 resnet50'
bench: setup local
	scripts/bench.sh '$(LOCAL)' $(BENCH)

bench-fusion: setup local
	$(CC) $(WARN) -o $(BUILD)/bench-fusion benchmarks/fusion.c $(LINK)
	$(BUILD)/bench-fusion

bench-rewriting: setup local
	$(CC) $(WARN) -o $(BUILD)/bench-rewriting benchmarks/rewriting.c $(LINK)
	$(BUILD)/bench-rewriting

bench-models: setup-test local
	PYTHONPATH=python TENON_LIBRARY='$(LOCAL)/lib/libtenon.so' .venv/bin/python benchmarks/models.py --json $(BUILD)/models.json

bench-programs: setup-test local
	PYTHONPATH=python TENON_LIBRARY='$(LOCAL)/lib/libtenon.so' .venv/bin/python benchmarks/programs.py

clean:
	rm -rf $(BUILD) .build
