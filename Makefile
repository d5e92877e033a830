# Targets for people: demo, test, install, bench-fusion. `make help` lists all.

PREFIX ?= /usr/local
DESTDIR ?=
CC ?= cc
SWIFT ?= swift
SWIFTFLAGS ?=
BUILD := build
LOCAL := $(abspath $(BUILD)/prefix)

.PHONY: help setup build install local demo test format lint proto bench-fusion clean

help:
	@echo 'make demo                      install what is missing, build, classify digits, compare fused with unfused'
	@echo 'make test                      the same set-up, then all tests'
	@echo 'make install PREFIX= DESTDIR=  header, library, pkg-config file, CMake package'
	@echo 'make bench-fusion              fused against unfused on the convolutions of ResNet-50'
	@echo 'make format, make lint         swift format with the committed configuration'
	@echo 'make proto                     generate the Swift of the ONNX messages again'

setup:
	scripts/setup.sh demo

build:
	$(SWIFT) build -c release --product tenon --disable-local-rpath $(SWIFTFLAGS)

install: build
	PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/install.sh "$$($(SWIFT) build -c release --show-bin-path)/libtenon.so"

# What examples and tests are built against.
local: build
	PREFIX='$(LOCAL)' DESTDIR= scripts/install.sh "$$($(SWIFT) build -c release --show-bin-path)/libtenon.so"

format:
	$(SWIFT) format -i -r -p Package.swift Sources Tests

lint:
	$(SWIFT) format lint --strict -r -p $$(git ls-files '*.swift' | grep -v '\.pb\.swift$$')

proto:
	scripts/generate-onnx-proto.sh

# Against the installed copy, as a host would build it.
PKG := PKG_CONFIG_PATH='$(LOCAL)/lib/pkgconfig' pkg-config
LINK = $$($(PKG) --cflags --libs tenon) -Wl,-rpath,'$(LOCAL)/lib'
WARN := -std=c99 -D_POSIX_C_SOURCE=200809L -O2 -Wall -Wextra -pedantic -Werror

bench-fusion: setup local
	$(CC) $(WARN) -o $(BUILD)/bench-fusion benchmarks/fusion.c $(LINK)
	$(BUILD)/bench-fusion

clean:
	rm -rf $(BUILD) .build
