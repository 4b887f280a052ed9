// What is made of a RunReport.
