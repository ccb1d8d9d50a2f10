module blazen.test/imports

go 1.19
