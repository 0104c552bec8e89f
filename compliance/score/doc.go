// Package score is a small model beside the rules: it says how unusual a transaction is (isolation forest, Liu, Ting and Zhou 2008) and,
// once officers have labelled outcomes, how much it resembles those that were suspicious (logistic regression).
//
// It is pure: numbers in, numbers out, the same seed gives the same model byte by byte. Every score explains itself by the features that
// moved it. A model is a file with a version, the hash of its content. It watches (mode shadow); whether it acts is no word of its own: two
// persons publish a rule set that names its version (compliance/rulebook).
// Drift compares what the model sees with what it learned from (population stability index).
//
// Its numbers are the features of compliance/rules (Engine.Values); rialto train makes models.
package score
