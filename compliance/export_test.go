package compliance

// SelectCases is for the test of the queue's plan.
const SelectCases = selectCases
