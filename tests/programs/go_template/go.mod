module paddock.test/gotemplate

go 1.22
